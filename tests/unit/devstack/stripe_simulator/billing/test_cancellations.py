"""Ends, pauses and resumptions."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at, day


def subscribed(stripe: Stripe, card: str | None = "visa", **extra: Any) -> tuple[str, str, str]:
    clock = stripe.clock("2026-04-01")
    customer = stripe.customer(card, test_clock=clock)
    extra.setdefault("items", [{"price": stripe.price()}])
    return clock, customer, stripe.post("subscriptions", customer=customer, **extra)["id"]


def test_at_once(stripe: Stripe) -> None:
    clock, _, subscription = subscribed(stripe)
    stripe.advance(clock, "2026-04-16")
    ended = stripe.delete(
        f"subscriptions/{subscription}", cancellation_details={"comment": "bye", "feedback": "unused"}
    )
    assert (ended["status"], ended["ended_at"], ended["canceled_at"]) == (
        "canceled",
        at("2026-04-16"),
        at("2026-04-16"),
    )
    assert ended["cancellation_details"] == {
        "comment": "bye",
        "feedback": "unused",
        "reason": "cancellation_requested",
    }
    assert len(stripe.invoices(subscription)) == 1
    stripe.advance(clock, "2026-06-01")
    assert len(stripe.invoices(subscription)) == 1
    with pytest.raises(StripeFailure, match="No such subscription"):
        stripe.delete(f"subscriptions/{subscription}")
    with pytest.raises(StripeFailure, match="can only update its cancellation_details"):
        stripe.post(f"subscriptions/{subscription}", cancel_at_period_end=True)


def test_unused_time_is_given_back_as_balance(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe)
    stripe.advance(clock, "2026-04-16")
    stripe.delete(f"subscriptions/{subscription}", prorate=True, invoice_now=True)
    final = stripe.invoices(subscription)[-1]
    assert (final["total"], final["amount_due"], final["status"], final["ending_balance"]) == (-500, 0, "paid", -500)
    assert stripe.get(f"customers/{customer}")["balance"] == -500


def test_at_the_end_of_the_period_with_its_usage(stripe: Stripe) -> None:
    recurring = {"meter": stripe.meter(), "usage_type": "metered"}
    items = [{"price": stripe.price()}, {"price": stripe.price(5, name="Tokens", recurring=recurring)}]
    clock, customer, subscription = subscribed(stripe, items=items)
    payload = {"stripe_customer_id": customer, "value": 100}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload)
    stripe.advance(clock, "2026-04-16")
    ending = stripe.post(f"subscriptions/{subscription}", cancel_at_period_end=True)
    assert (ending["status"], ending["cancel_at"], ending["canceled_at"]) == (
        "active",
        at("2026-05-01"),
        at("2026-04-16"),
    )
    stripe.advance(clock, "2026-05-01T02:00:00")
    ended = stripe.get(f"subscriptions/{subscription}")
    assert (ended["status"], ended["ended_at"], ended["canceled_at"]) == (
        "canceled",
        at("2026-05-01"),
        at("2026-04-16"),
    )
    assert [(invoice["total"], invoice["status"]) for invoice in stripe.invoices(subscription)] == [
        (1000, "paid"),
        (500, "paid"),
    ]
    assert stripe.events("customer.subscription.deleted")[0]["created"] == at("2026-05-01")


def test_an_intended_end_can_be_taken_back(stripe: Stripe) -> None:
    clock, _, subscription = subscribed(stripe)
    stripe.post(f"subscriptions/{subscription}", cancel_at_period_end=True)
    kept = stripe.post(f"subscriptions/{subscription}", cancel_at_period_end=False)
    assert kept["cancel_at"] is kept["canceled_at"] is None
    stripe.advance(clock, "2026-05-02")
    assert stripe.get(f"subscriptions/{subscription}")["status"] == "active"


@pytest.mark.parametrize(("proration", "total"), [("create_prorations", -500), ("none", None)])
def test_within_a_period(stripe: Stripe, proration: str, total: int | None) -> None:
    clock, _, subscription = subscribed(stripe)
    stripe.post(f"subscriptions/{subscription}", cancel_at=at("2026-04-16"), proration_behavior=proration)
    stripe.advance(clock, "2026-04-17")
    assert stripe.get(f"subscriptions/{subscription}")["status"] == "canceled"
    totals = [invoice["total"] for invoice in stripe.invoices(subscription)]
    assert totals == ([1000] if total is None else [1000, total])


def test_words_for_the_end_of_a_period(stripe: Stripe) -> None:
    items = [{"price": stripe.price()}, {"price": stripe.price(9000, "year", name="Year")}]
    _, _, subscription = subscribed(stripe, items=items)
    for word, when in (("min_period_end", "2026-05-01"), ("max_period_end", "2027-04-01")):
        assert day(stripe.post(f"subscriptions/{subscription}", cancel_at=word)["cancel_at"]) == when


@pytest.mark.parametrize(
    ("behavior", "status"), [("void", "void"), ("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible")]
)
def test_paused_collection(stripe: Stripe, behavior: str, status: str) -> None:
    clock, _, subscription = subscribed(stripe)
    pause = {"behavior": behavior, "resumes_at": at("2026-05-15")}
    assert stripe.post(f"subscriptions/{subscription}", pause_collection=pause)["status"] == "active"
    stripe.advance(clock, "2026-06-02")
    assert [invoice["status"] for invoice in stripe.invoices(subscription)] == ["paid", status, "paid"]
    resumed = stripe.get(f"subscriptions/{subscription}")
    assert (resumed["pause_collection"], resumed["status"]) == (None, "active")
    # Only the renewal that is collected is announced.
    assert [day(event["created"]) for event in stripe.events("invoice.upcoming")] == ["2026-05-25"]


def test_a_voided_invoice_uses_no_balance(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe)
    stripe.post(f"customers/{customer}", balance=-300)
    stripe.post(f"subscriptions/{subscription}", pause_collection={"behavior": "void"})
    stripe.advance(clock, "2026-05-02")
    assert stripe.get(f"customers/{customer}")["balance"] == -300


def test_a_paused_subscription_is_resumed(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(
        stripe,
        None,
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    stripe.advance(clock, "2026-06-10")
    assert len(stripe.invoices(subscription)) == 1, "a paused subscription is not billed"
    stripe.set_card(customer, "visa")
    resumed = stripe.post(f"subscriptions/{subscription}/resume", billing_cycle_anchor={"type": "now"})
    assert (resumed["status"], resumed["billing_cycle_anchor"]) == ("active", at("2026-06-10"))
    assert [invoice["total"] for invoice in stripe.invoices(subscription)] == [0, 1000]
    assert stripe.event_types("customer.subscription.resumed")
    with pytest.raises(StripeFailure, match="not paused"):
        stripe.post(f"subscriptions/{subscription}/resume")


def test_resuming_on_the_old_anchor_bills_the_rest_of_the_period(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(
        stripe, None, trial_end=at("2026-05-01"), trial_settings={"end_behavior": {"missing_payment_method": "pause"}}
    )
    stripe.advance(clock, "2026-06-16")
    stripe.set_card(customer, "visa")
    resumed = stripe.post(f"subscriptions/{subscription}/resume", billing_cycle_anchor={"type": "unchanged"})
    assert day(resumed["items"]["data"][0]["current_period_end"]) == "2026-07-01"
    assert stripe.invoices(subscription)[-1]["total"] == 500


def test_resuming_only_when_it_is_paid(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(
        stripe, None, trial_period_days=7, trial_settings={"end_behavior": {"missing_payment_method": "pause"}}
    )
    stripe.advance(clock, "2026-04-10")
    stripe.set_card(customer, "chargeCustomerFail")
    behavior = "resume_on_payment_success"
    waiting = stripe.post(f"subscriptions/{subscription}/resume", payment_behavior=behavior)
    assert waiting["status"] == "paused"
