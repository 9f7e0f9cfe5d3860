"""Subscription schedules: phases one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at, day


class Planned:
    """A subscription of 20.00 a month from 1 April, with a schedule made of it."""

    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe
        self.clock = stripe.clock("2026-04-01")
        self.customer = stripe.customer(test_clock=self.clock)
        self.ten, self.twenty = stripe.price(1000, name="Ten"), stripe.price(2000, name="Twenty")
        made = stripe.post("subscriptions", customer=self.customer, items=[{"price": self.twenty}])
        self.subscription = made["id"]
        self.schedule = stripe.post("subscription_schedules", from_subscription=self.subscription)
        self.path = f"subscription_schedules/{self.schedule['id']}"

    def then(self, *phases: dict[str, Any], **extra: Any) -> Any:
        first = self.schedule["phases"][0]
        present = {
            "start_date": first["start_date"],
            "end_date": first["end_date"],
            "items": [{"price": self.twenty, "quantity": 1}],
        }
        return self.stripe.post(self.path, phases=[present, *phases], **extra)

    def status(self) -> str:
        return str(self.stripe.get(self.path)["status"])


MONTH = {"interval": "month", "interval_count": 1}


def test_a_schedule_of_a_subscription_has_its_period_as_phase(stripe: Stripe) -> None:
    planned = Planned(stripe)
    [phase] = planned.schedule["phases"]
    assert (day(phase["start_date"]), day(phase["end_date"])) == ("2026-04-01", "2026-05-01")
    assert (planned.schedule["status"], planned.schedule["end_behavior"]) == ("active", "release")
    assert stripe.get(f"subscriptions/{planned.subscription}")["schedule"] == planned.schedule["id"]
    with pytest.raises(StripeFailure, match="already attached"):
        stripe.post("subscription_schedules", from_subscription=planned.subscription)


def test_a_downgrade_at_the_end_of_the_period_is_one_plain_invoice(stripe: Stripe) -> None:
    planned = Planned(stripe)
    planned.then({"items": [{"price": planned.ten}], "duration": MONTH})
    stripe.advance(planned.clock, "2026-05-01T02:00:00")
    assert [invoice["total"] for invoice in stripe.invoices(planned.subscription)] == [2000, 1000]
    assert stripe.get(planned.path)["current_phase"]["end_date"] == at("2026-06-01")
    stripe.advance(planned.clock, "2026-06-02")
    released = stripe.get(planned.path)
    assert (released["status"], released["released_subscription"]) == ("released", planned.subscription)
    subscription = stripe.get(f"subscriptions/{planned.subscription}")
    assert (subscription["schedule"], subscription["status"]) == (None, "active")
    assert [invoice["total"] for invoice in stripe.invoices(planned.subscription)] == [2000, 1000, 1000]
    assert stripe.event_types("subscription_schedule") == [
        "subscription_schedule.created",
        "subscription_schedule.updated",
        "subscription_schedule.updated",
        "subscription_schedule.expiring",
        "subscription_schedule.released",
    ]


def test_a_phase_within_the_period_is_prorated(stripe: Stripe) -> None:
    planned = Planned(stripe)
    first = {"start_date": at("2026-04-01"), "end_date": at("2026-04-16"), "items": [{"price": planned.twenty}]}
    second = {"items": [{"price": planned.ten}], "duration": MONTH, "proration_behavior": "always_invoice"}
    stripe.post(planned.path, phases=[first, second])
    stripe.advance(planned.clock, "2026-04-17")
    lines = stripe.invoices(planned.subscription)[-1]["lines"]["data"]
    assert sorted(line["amount"] for line in lines) == [-1000, 500]
    assert stripe.get(f"customers/{planned.customer}")["balance"] == -500


def test_a_phase_of_another_interval_begins_a_new_cycle(stripe: Stripe) -> None:
    planned = Planned(stripe)
    year = stripe.price(10000, "year", name="Year")
    planned.then({"items": [{"price": year}], "duration": {"interval": "year", "interval_count": 1}})
    stripe.advance(planned.clock, "2026-05-02")
    assert [invoice["total"] for invoice in stripe.invoices(planned.subscription)] == [2000, 10000]
    item = stripe.get(f"subscriptions/{planned.subscription}")["items"]["data"][0]
    assert (day(item["current_period_start"]), day(item["current_period_end"])) == ("2026-05-01", "2027-05-01")


def test_usage_of_a_price_that_goes_is_on_the_one_invoice(stripe: Stripe) -> None:
    clock = stripe.clock("2026-04-01")
    customer = stripe.customer(test_clock=clock)
    flat = stripe.price(1000)
    usage = stripe.price(5, name="Tokens", recurring={"meter": stripe.meter(), "usage_type": "metered"})
    phases = [
        {"items": [{"price": flat}, {"price": usage}], "duration": MONTH},
        {"items": [{"price": flat}], "duration": MONTH},
    ]
    schedule = stripe.post("subscription_schedules", customer=customer, start_date="now", phases=phases)
    payload = {"stripe_customer_id": customer, "value": 100}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload)
    stripe.advance(clock, "2026-05-02")
    assert [invoice["total"] for invoice in stripe.invoices(schedule["subscription"])] == [1000, 1500]


def test_a_schedule_can_end_its_subscription(stripe: Stripe) -> None:
    planned = Planned(stripe)
    stripe.post(planned.path, end_behavior="cancel")
    stripe.advance(planned.clock, "2026-05-01")
    assert planned.status() == "completed"
    assert stripe.get(f"subscriptions/{planned.subscription}")["status"] == "canceled"


def test_a_schedule_starts_a_subscription_later(stripe: Stripe) -> None:
    clock = stripe.clock("2026-04-01")
    customer = stripe.customer(test_clock=clock)
    coupon = stripe.post("coupons", percent_off=50, duration="forever")["id"]
    phase = {
        "items": [{"price": stripe.price(), "quantity": 2}],
        "duration": MONTH,
        "discounts": [{"coupon": coupon}],
        "metadata": {"tier": "gold"},
    }
    schedule = stripe.post("subscription_schedules", customer=customer, start_date=at("2026-04-10"), phases=[phase])
    assert (schedule["status"], schedule["subscription"]) == ("not_started", None)
    stripe.advance(clock, "2026-04-10")
    started = stripe.get(f"subscription_schedules/{schedule['id']}", expand=["subscription"])
    subscription = started["subscription"]
    assert (started["status"], subscription["status"]) == ("active", "active")
    assert (subscription["metadata"], subscription["start_date"]) == ({"tier": "gold"}, at("2026-04-10"))
    assert [invoice["total"] for invoice in stripe.invoices(subscription["id"])] == [1000]


def test_a_change_of_the_present_phase_takes_effect(stripe: Stripe) -> None:
    planned = Planned(stripe)
    stripe.advance(planned.clock, "2026-04-16")
    phase = {"start_date": at("2026-04-01"), "end_date": at("2026-05-01"), "items": [{"price": planned.ten}]}
    stripe.post(planned.path, phases=[phase], proration_behavior="none")
    item = stripe.get(f"subscriptions/{planned.subscription}")["items"]["data"][0]
    assert item["price"]["id"] == planned.ten
    assert stripe.get("invoiceitems", pending=True)["data"] == []


def test_a_phase_keeps_nothing_of_the_subscription_that_it_does_not_list(stripe: Stripe) -> None:
    planned = Planned(stripe)
    coupon = stripe.post("coupons", percent_off=50, duration="forever")["id"]
    card = stripe.set_card(planned.customer, "visa")
    has = {"discounts": [{"coupon": coupon}], "default_payment_method": card, "automatic_tax": {"enabled": True}}
    discount = stripe.post(f"subscriptions/{planned.subscription}", **has)["discounts"][0]
    listed = {**has, "discounts": [{"discount": discount}]}
    schedule, path = stripe.get(planned.path), f"subscriptions/{planned.subscription}"
    present = {"start_date": schedule["phases"][0]["start_date"], "end_date": schedule["phases"][0]["end_date"]}
    first = {**present, **listed, "items": [{"price": planned.twenty}]}
    kept = {**listed, "items": [{"price": planned.ten}], "duration": MONTH}
    bare = {"items": [{"price": planned.ten}], "duration": MONTH}
    stripe.post(planned.path, phases=[first, kept, bare])
    stripe.advance(planned.clock, "2026-05-02")
    subscription = stripe.get(path)
    assert (subscription["discounts"], subscription["default_payment_method"]) == ([discount], card)
    assert subscription["automatic_tax"]["enabled"] is True
    stripe.advance(planned.clock, "2026-06-02")
    subscription = stripe.get(path)
    assert (subscription["discounts"], subscription["default_payment_method"]) == ([], None)
    assert subscription["automatic_tax"]["enabled"] is False
    assert [invoice["total"] for invoice in stripe.invoices(planned.subscription)] == [2000, 500, 1000]


def test_release_and_cancel_by_hand(stripe: Stripe) -> None:
    planned = Planned(stripe)
    assert stripe.post(f"{planned.path}/release")["status"] == "released"
    with pytest.raises(StripeFailure, match="`released` status"):
        stripe.post(f"{planned.path}/cancel")
    other = Planned(stripe)
    assert stripe.post(f"{other.path}/cancel", prorate=False)["status"] == "canceled"
    assert stripe.get(f"subscriptions/{other.subscription}")["status"] == "canceled"
    assert len(stripe.get("subscription_schedules", customer=other.customer)["data"]) == 1


@pytest.mark.parametrize(
    ("phases", "wrong"),
    [
        ([{"items": [], "duration": MONTH}], "items"),
        ([{"items": [{"price": "price_x"}], "duration": MONTH}], "No such price"),
    ],
)
def test_wrong_phases(stripe: Stripe, phases: list[Any], wrong: str) -> None:
    with pytest.raises(StripeFailure, match=wrong):
        stripe.post("subscription_schedules", customer=stripe.customer(), phases=phases)
