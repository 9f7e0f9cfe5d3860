"""Test clocks: forward, in bounds, and everything in its order."""

from __future__ import annotations

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at


def test_advancing_takes_a_moment(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    path = f"test_helpers/test_clocks/{clock}"
    moving = stripe.post(f"{path}/advance", frozen_time=at("2026-02-01"))
    assert (moving["status"], moving["frozen_time"]) == ("advancing", at("2026-01-01"))
    with pytest.raises(StripeFailure, match="is advancing"):
        stripe.post(f"{path}/advance", frozen_time=at("2026-03-01"))
    stripe.tick()
    ready = stripe.get(path)
    assert (ready["status"], ready["frozen_time"], ready["status_details"]) == ("ready", at("2026-02-01"), {})
    assert stripe.event_types("test_helpers") == [
        "test_helpers.test_clock.created",
        "test_helpers.test_clock.advancing",
        "test_helpers.test_clock.ready",
    ]


@pytest.mark.parametrize("target", ["2025-12-31", "2026-01-01", "2026-03-02", "2030-01-01"])
def test_not_back_and_not_too_far(stripe: Stripe, target: str) -> None:
    clock = stripe.clock("2026-01-01")
    items = [{"price": stripe.price()}, {"price": stripe.price(9000, "year")}]
    stripe.post("subscriptions", customer=stripe.customer(test_clock=clock), items=items)
    with pytest.raises(StripeFailure):
        stripe.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=at(target))
    stripe.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=at("2026-03-01"))


def test_without_subscriptions_two_years(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    path = f"test_helpers/test_clocks/{clock}/advance"
    with pytest.raises(StripeFailure, match="two years"):
        stripe.post(path, frozen_time=at("2028-01-02"))
    stripe.post(path, frozen_time=at("2028-01-01"))


def test_everything_happens_in_its_time(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    for start in (0, 3):
        customer = stripe.customer(test_clock=clock)
        stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}], trial_period_days=5 + start)
    before = len(stripe.events())
    stripe.advance(clock, "2026-06-20")
    times = [event["created"] for event in stripe.events()[before:]]
    assert times == sorted(times)
    assert len(times) > 50


def test_each_clock_is_its_own(stripe: Stripe) -> None:
    clocks = [stripe.clock("2026-01-01") for _ in range(2)]
    subscriptions = [
        stripe.post("subscriptions", customer=stripe.customer(test_clock=clock), items=[{"price": stripe.price()}])[
            "id"
        ]
        for clock in clocks
    ]
    stripe.advance(clocks[0], "2026-03-02")
    stripe.tick()
    assert [len(stripe.invoices(subscription)) for subscription in subscriptions] == [3, 1]


def test_what_hangs_on_a_clock_goes_with_it(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}])["id"]
    kept = stripe.post("subscriptions", customer=stripe.customer(), items=[{"price": stripe.price()}])["id"]
    assert stripe.delete(f"test_helpers/test_clocks/{clock}")["deleted"] is True
    with pytest.raises(StripeFailure, match="No such"):
        stripe.get(f"subscriptions/{subscription}")
    assert stripe.get(f"customers/{customer}")["deleted"] is True
    assert [payment["amount_paid"] for payment in stripe.get("invoice_payments")["data"]] == [1000]
    assert [each["id"] for each in stripe.get("subscriptions")["data"]] == [kept]


def test_usage_and_its_time_are_those_of_the_clock(stripe: Stripe) -> None:
    clock = stripe.clock("2030-01-01")
    customer = stripe.customer(test_clock=clock)
    stripe.meter()
    sent = {"event_name": "tokens", "payload": {"stripe_customer_id": customer, "value": 1}}
    assert stripe.post("billing/meter_events", **sent)["timestamp"] == at("2030-01-01")
    with pytest.raises(StripeFailure) as failure:
        stripe.post("billing/meter_events", **sent, timestamp=at("2026-01-01"))
    assert failure.value.code == "timestamp_too_far_in_past"
