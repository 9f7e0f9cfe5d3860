"""Renewals, the hour of a draft, usage, trials and partial first periods."""

from __future__ import annotations

import pytest

from devstack.stripe_simulator.failures import Obj, StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at, day


def periods(stripe: Stripe, subscription: str) -> list[tuple[str, str]]:
    lines = [line for invoice in stripe.invoices(subscription) for line in invoice["lines"]["data"]]
    return [(day(line["period"]["start"]), day(line["period"]["end"])) for line in lines]


@pytest.mark.parametrize(
    ("start", "until", "ends"),
    [
        ("2026-01-31", "2026-04-15", ["2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2028-01-31", "2028-03-15", ["2028-02-29", "2028-03-31"]),
        ("2026-03-29", "2026-05-01", ["2026-04-29", "2026-05-29"]),
    ],
)
def test_months_keep_their_day(stripe: Stripe, start: str, until: str, ends: list[str]) -> None:
    clock = stripe.clock(start)
    customer = stripe.customer(test_clock=clock)
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}])["id"]
    stripe.advance(clock, until)
    assert [end for _, end in periods(stripe, subscription)] == ends
    assert {invoice["total"] for invoice in stripe.invoices(subscription)} == {1000}


def test_a_renewal_is_a_draft_for_an_hour(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}])["id"]
    stripe.advance(clock, "2026-02-01T00:59:59")
    draft = stripe.invoices(subscription)[-1]
    assert (draft["status"], draft["number"], draft["auto_advance"]) == ("draft", None, True)
    assert draft["automatically_finalizes_at"] == draft["next_payment_attempt"] == at("2026-02-01T01:00:00")
    assert (day(draft["period_start"]), day(draft["period_end"])) == ("2026-01-01", "2026-02-01")
    stripe.advance(clock, "2026-02-01T01:00:00")
    paid = stripe.invoices(subscription)[-1]
    assert (paid["status"], paid["billing_reason"]) == ("paid", "subscription_cycle")
    assert paid["automatically_finalizes_at"] is paid["next_payment_attempt"] is None
    assert paid["number"].endswith("-0002")


def use(stripe: Stripe, customer: str, value: int, when: str) -> None:
    payload = {"stripe_customer_id": customer, "value": value}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload, timestamp=at(when))


def metered(stripe: Stripe) -> Obj:
    return {"meter": stripe.meter(), "usage_type": "metered"}


def test_usage_is_billed_afterwards_and_late_usage_within_the_hour(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    price = stripe.price(5, name="Tokens", recurring=metered(stripe))
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": price}])
    assert (subscription["status"], subscription["latest_invoice"]) == ("active", None)
    use(stripe, customer, 100, "2026-01-01T00:00:10")
    stripe.advance(clock, "2026-02-01T00:30:00")
    use(stripe, customer, 20, "2026-01-31T23:59:59")
    use(stripe, customer, 7, "2026-02-01T00:00:00")
    stripe.advance(clock, "2026-02-01T02:00:00")
    use(stripe, customer, 1000, "2026-01-31T23:59:58")
    stripe.advance(clock, "2026-03-01T02:00:00")
    lines = [invoice["lines"]["data"][0] for invoice in stripe.invoices(subscription["id"])]
    assert [(line["quantity"], line["amount"]) for line in lines] == [(120, 600), (7, 35)]
    assert [(day(line["period"]["start"]), day(line["period"]["end"])) for line in lines] == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2026-03-01"),
    ]


def test_graduated_usage_with_a_flat_first_tier(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    tiers = [{"up_to": 10, "flat_amount": 500}, {"up_to": "inf", "unit_amount_decimal": "2.5"}]
    price = stripe.price(
        None, billing_scheme="tiered", tiers_mode="graduated", tiers=tiers, recurring=metered(stripe), name="Calls"
    )
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": price}])["id"]
    stripe.advance(clock, "2026-02-02")
    use(stripe, customer, 13, "2026-02-01T12:00:00")
    stripe.advance(clock, "2026-03-02")
    assert [invoice["total"] for invoice in stripe.invoices(subscription)] == [500, 508]


def test_items_of_different_intervals_renew_on_their_own(stripe: Stripe) -> None:
    """docs.stripe.com/billing/subscriptions/mixed-interval: 100 a quarter and 15 a month, from 1 January 2024."""
    clock = stripe.clock("2024-01-01")
    customer = stripe.customer(test_clock=clock)
    items = [{"price": stripe.price(1500)}, {"price": stripe.price(10000, count=3)}]
    subscription = stripe.post("subscriptions", customer=customer, items=items)["id"]
    stripe.advance(clock, "2024-04-02")
    found = stripe.invoices(subscription)
    assert [(day(invoice["created"]), invoice["total"]) for invoice in found] == [
        ("2024-01-01", 11500),
        ("2024-02-01", 1500),
        ("2024-03-01", 1500),
        ("2024-04-01", 11500),
    ]


def test_a_trial_costs_nothing_then_the_first_period_is_billed(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    price, usage = stripe.price(), stripe.price(5, name="Tokens", recurring=metered(stripe))
    subscription = stripe.post(
        "subscriptions", customer=customer, items=[{"price": price}, {"price": usage}], trial_period_days=14
    )
    assert (subscription["status"], day(subscription["trial_end"])) == ("trialing", "2026-01-15")
    assert subscription["billing_cycle_anchor"] == subscription["trial_end"]
    first = stripe.invoices(subscription["id"])[0]
    assert (first["total"], first["status"]) == (0, "paid")
    assert [line["description"] for line in first["lines"]["data"]] == ["Free trial for 1 × Gold"]
    use(stripe, customer, 100, "2026-01-01T00:00:10")
    stripe.advance(clock, "2026-01-12")
    assert stripe.event_types("customer.subscription.trial") == ["customer.subscription.trial_will_end"]
    stripe.advance(clock, "2026-01-15")
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    stripe.advance(clock, "2026-01-16")
    assert [invoice["total"] for invoice in stripe.invoices(subscription["id"])] == [0, 1000]
    assert periods(stripe, subscription["id"])[-1] == ("2026-01-15", "2026-02-15")


def test_a_trial_of_two_days_is_announced_at_once(stripe: Stripe) -> None:
    stripe.post("subscriptions", customer=stripe.customer(), items=[{"price": stripe.price()}], trial_period_days=2)
    assert stripe.event_types("customer.subscription.trial") == ["customer.subscription.trial_will_end"]


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        ("pause", "paused", "customer.subscription.paused"),
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
def test_a_trial_that_ends_without_a_card(stripe: Stripe, behavior: str, status: str, event: str) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(card=None, test_clock=clock)
    subscription = stripe.post(
        "subscriptions",
        customer=customer,
        items=[{"price": stripe.price()}],
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": behavior}},
    )["id"]
    stripe.advance(clock, "2026-01-08T02:00:00")
    assert stripe.get(f"subscriptions/{subscription}")["status"] == status
    assert event in stripe.event_types()


def test_an_anchor_ahead_makes_a_partial_first_period(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-17")
    customer = stripe.customer(test_clock=clock)
    wanted = {"customer": customer, "items": [{"price": stripe.price(3100)}]}
    part = stripe.post("subscriptions", **wanted, billing_cycle_anchor=at("2026-02-01"))["id"]
    free = stripe.post("subscriptions", **wanted, billing_cycle_anchor=at("2026-02-01"), proration_behavior="none")
    assert free["latest_invoice"] is None
    stripe.advance(clock, "2026-02-02")
    assert [invoice["total"] for invoice in stripe.invoices(part)] == [1500, 3100]
    assert [invoice["total"] for invoice in stripe.invoices(free["id"])] == [3100]
    with pytest.raises(StripeFailure, match="next natural billing date"):
        stripe.post("subscriptions", **wanted, billing_cycle_anchor=at("2026-03-03"))


def test_a_renewal_is_announced_days_before(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}])
    stripe.advance(clock, "2026-01-25")
    [event] = stripe.events("invoice.upcoming")
    assert day(event["created"]) == "2026-01-25"
    assert event["data"]["object"]["total"] == 1000
    stripe.advance(clock, "2026-03-25")
    assert [day(event["created"])[5:] for event in stripe.events("invoice.upcoming")] == ["01-25", "02-22", "03-25"]


def test_time_goes_on_by_the_wall_clock_too(stripe: Stripe) -> None:
    subscription = stripe.post("subscriptions", customer=stripe.customer(), items=[{"price": stripe.price()}])["id"]
    stripe.wall = at("2026-03-05")
    stripe.tick()
    created = [day(invoice["created"]) for invoice in stripe.invoices(subscription)]
    assert created == ["2026-01-01", "2026-02-01", "2026-03-01"]
    assert {invoice["status"] for invoice in stripe.invoices(subscription)} == {"paid"}
