"""Previews: what a change would bill, and that nothing stays of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.stripe_simulator.billing import lifecycle
from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at


def told(invoice: Any) -> list[tuple[int, str, int, int]]:
    return [
        (line["amount"], line["description"], line["period"]["start"], line["period"]["end"])
        for line in invoice["lines"]["data"]
    ]


@pytest.fixture
def subscribed(stripe: Stripe) -> tuple[str, Any]:
    clock = stripe.clock("2026-01-31")
    customer = stripe.customer(test_clock=clock)
    made = stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price(1000), "quantity": 3}])
    stripe.advance(clock, "2026-02-11T13:17:19")
    return clock, made


def test_the_next_renewal(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    clock, subscription = subscribed
    preview = stripe.post("invoices/create_preview", subscription=subscription["id"])
    assert (preview["billing_reason"], preview["status"], preview["number"]) == ("upcoming", "draft", None)
    assert preview["id"].startswith("upcoming_in_")
    assert preview["next_payment_attempt"] == at("2026-02-28T01:00:00")
    stripe.advance(clock, "2026-03-01")
    assert told(preview) == told(stripe.invoices(subscription["id"])[-1])


@pytest.mark.parametrize("behavior", ["always_invoice", "create_prorations", "none"])
def test_a_change_is_billed_as_previewed(stripe: Stripe, subscribed: tuple[str, Any], behavior: str) -> None:
    clock, subscription = subscribed
    change = {
        "items": [{"id": subscription["items"]["data"][0]["id"], "price": stripe.price(3333), "quantity": 2}],
        "proration_behavior": behavior,
    }
    preview = stripe.post("invoices/create_preview", subscription=subscription["id"], subscription_details=change)
    stripe.post(f"subscriptions/{subscription['id']}", **change)
    if behavior != "always_invoice":
        stripe.advance(clock, "2026-03-01")
    billed = stripe.invoices(subscription["id"])[-1]
    assert told(preview) == told(billed)
    assert (preview["total"], preview["subtotal"]) == (billed["total"], billed["subtotal"])


def test_nothing_stays_of_a_preview(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    _, subscription = subscribed
    kinds = stripe.world.kinds()
    before = deepcopy({kind: stripe.world.find(kind) for kind in kinds})
    item = subscription["items"]["data"][0]["id"]
    for details in (
        {"items": [{"id": item, "quantity": 9}], "proration_behavior": "always_invoice"},
        {"billing_cycle_anchor": {"type": "now"}},
        {"cancel_now": True},
        {"trial_end": at("2026-05-01")},
    ):
        stripe.post("invoices/create_preview", subscription=subscription["id"], subscription_details=details)
    assert {kind: stripe.world.find(kind) for kind in kinds} == before
    assert stripe.world.kinds() == kinds


def test_a_new_subscription(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-17")
    customer = stripe.customer(test_clock=clock)
    coupon = stripe.post("coupons", percent_off=10, duration="once")["id"]
    details = {
        "items": [{"price": stripe.price(3100)}],
        "billing_cycle_anchor": {"type": "timestamp", "timestamp": at("2026-02-01")},
    }
    preview = stripe.post(
        "invoices/create_preview", customer=customer, subscription_details=details, discounts=[{"coupon": coupon}]
    )
    assert (preview["subtotal"], preview["total"], preview["billing_reason"]) == (1500, 1350, "subscription_create")
    assert stripe.get(f"coupons/{coupon}")["times_redeemed"] == 0
    assert stripe.get("subscriptions", customer=customer)["data"] == []


def test_an_immediate_end(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    clock, subscription = subscribed
    stripe.advance(clock, "2026-02-14")
    preview = stripe.post(
        "invoices/create_preview", subscription=subscription["id"], subscription_details={"cancel_now": True}
    )
    assert preview["total"] == -1500


def test_usage_so_far_is_in_it(stripe: Stripe) -> None:
    customer = stripe.customer()
    price = stripe.price(5, name="Tokens", recurring={"meter": stripe.meter(), "usage_type": "metered"})
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": price}])["id"]
    payload = {"stripe_customer_id": customer, "value": 30}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload)
    stripe.wall += 5
    stripe.tick()
    assert stripe.post("invoices/create_preview", subscription=subscription)["total"] == 150


def test_one_more_item(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    _, subscription = subscribed
    extra = [{"amount": -250, "currency": "usd", "description": "Sorry"}]
    preview = stripe.post("invoices/create_preview", subscription=subscription["id"], invoice_items=extra)
    assert preview["total"] == 2750
    assert stripe.get("invoiceitems")["data"] == []


def test_a_schedules_next_phase(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    clock, subscription = subscribed
    schedule = stripe.post("subscription_schedules", from_subscription=subscription["id"])
    phase = schedule["phases"][0]
    present = {
        "start_date": phase["start_date"],
        "end_date": phase["end_date"],
        "items": [{"price": phase["items"][0]["price"], "quantity": 3}],
    }
    coming = {"items": [{"price": stripe.price(700)}], "duration": {"interval": "month"}}
    stripe.post(f"subscription_schedules/{schedule['id']}", phases=[present, coming])
    assert stripe.post("invoices/create_preview", schedule=schedule["id"])["total"] == 700
    stripe.advance(clock, "2026-03-01")
    assert stripe.invoices(subscription["id"])[-1]["total"] == 700


def test_what_ends_has_no_next_invoice(stripe: Stripe, subscribed: tuple[str, Any]) -> None:
    _, subscription = subscribed
    stripe.post(f"subscriptions/{subscription['id']}", cancel_at_period_end=True)
    with pytest.raises(StripeFailure) as failure:
        stripe.post("invoices/create_preview", subscription=subscription["id"])
    assert (failure.value.status, failure.value.code) == (404, "invoice_upcoming_none")


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(at("2026-01-01"), at("2028-12-31")),
    part=st.floats(0, 1, exclude_max=True),
    before=st.tuples(st.integers(1, 99_999), st.integers(1, 20)),
    after=st.tuples(st.integers(1, 99_999), st.integers(1, 20)),
    interval=st.sampled_from(["day", "week", "month", "year"]),
    percent=st.sampled_from([None, 10, 33, 100]),
    behavior=st.sampled_from(["always_invoice", "create_prorations"]),
)
def test_any_change_is_billed_as_previewed(
    *,
    start: int,
    part: float,
    before: tuple[int, int],
    after: tuple[int, int],
    interval: str,
    percent: int | None,
    behavior: str,
) -> None:
    stripe = Stripe()
    clock = stripe.post("test_helpers/test_clocks", frozen_time=start)["id"]
    prices = [stripe.price(amount, interval) for amount, _ in (before, after)]
    extra = {}
    if percent:
        extra = {"discounts": [{"coupon": stripe.post("coupons", percent_off=percent, duration="forever")["id"]}]}
    subscription = stripe.post(
        "subscriptions",
        customer=stripe.customer(test_clock=clock),
        items=[{"price": prices[0], "quantity": before[1]}],
        **extra,
    )
    item = subscription["items"]["data"][0]
    end = item["current_period_end"]
    lifecycle.advance(stripe.world, start + int((end - start) * part), clock)
    change = {
        "items": [{"id": item["id"], "price": prices[1], "quantity": after[1]}],
        "proration_behavior": behavior,
    }
    preview = stripe.post("invoices/create_preview", subscription=subscription["id"], subscription_details=change)
    stripe.post(f"subscriptions/{subscription['id']}", **change)
    if behavior == "create_prorations":
        lifecycle.advance(stripe.world, end, clock)
    billed = stripe.invoices(subscription["id"])[-1]
    assert told(preview) == told(billed)
    sums = ("subtotal", "total", "amount_due")
    assert [preview[name] for name in sums] == [billed[name] for name in sums]
    assert billed["subtotal"] == sum(line["amount"] for line in billed["lines"]["data"])
    assert billed["amount_due"] >= 0
