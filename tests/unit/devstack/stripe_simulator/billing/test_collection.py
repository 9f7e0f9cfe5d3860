"""Payments of invoices: retries, standing, authentication, payments by hand."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.billing import account, collection
from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at, day


def subscribed(stripe: Stripe, card: str | None = "visa", **extra: Any) -> tuple[str, str, Any]:
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(card, test_clock=clock)
    price = stripe.price()
    return clock, customer, stripe.post("subscriptions", customer=customer, items=[{"price": price}], **extra)


def status(stripe: Stripe, subscription: Any) -> str:
    return str(stripe.get(f"subscriptions/{subscription['id']}")["status"])


def test_a_failed_renewal_is_retried_then_the_subscription_ends(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe)
    stripe.set_card(customer, "chargeCustomerFail")
    stripe.advance(clock, "2026-02-01T01:00:00")
    attempts = []
    for _ in range(5):
        invoice = stripe.invoices(subscription["id"])[-1]
        attempts.append((invoice["attempt_count"], invoice["next_payment_attempt"], status(stripe, subscription)))
        upcoming = invoice["next_payment_attempt"]
        if upcoming:
            stripe.advance(clock, f"{day(upcoming)}T01:00:00")
    assert attempts == [
        (1, at("2026-02-02T01:00:00"), "past_due"),
        (2, at("2026-02-05T01:00:00"), "past_due"),
        (3, at("2026-02-10T01:00:00"), "past_due"),
        (4, at("2026-02-17T01:00:00"), "past_due"),
        (5, None, "canceled"),
    ]
    ended = stripe.get(f"subscriptions/{subscription['id']}")
    assert ended["cancellation_details"]["reason"] == "payment_failed"
    assert len(stripe.events("invoice.payment_failed")) == 5
    assert stripe.invoices(subscription["id"])[-1]["status"] == "open"
    assert stripe.get(f"customers/{customer}")["delinquent"] is True


@pytest.mark.parametrize("verdict", ["unpaid", "past_due"])
def test_what_becomes_of_a_subscription_is_a_setting(stripe: Stripe, verdict: str) -> None:
    account.change(stripe.world, after_retries=verdict, retry_days=[2])
    clock, customer, subscription = subscribed(stripe)
    stripe.set_card(customer, "chargeCustomerFail")
    stripe.advance(clock, "2026-02-04")
    assert status(stripe, subscription) == verdict
    stripe.advance(clock, "2026-03-02")
    last = stripe.invoices(subscription["id"])[-1]
    assert last["status"] == ("draft" if verdict == "unpaid" else "open")


def test_a_recovered_payment(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe)
    stripe.set_card(customer, "chargeCustomerFail")
    stripe.advance(clock, "2026-02-01T02:00:00")
    stripe.set_card(customer, "visa")
    stripe.advance(clock, "2026-02-02T02:00:00")
    invoice = stripe.invoices(subscription["id"])[-1]
    assert (invoice["status"], invoice["attempt_count"], invoice["next_payment_attempt"]) == ("paid", 2, None)
    assert status(stripe, subscription) == "active"
    assert stripe.get(f"customers/{customer}")["delinquent"] is False


def test_paying_by_hand_leaves_the_schedule_alone(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe)
    stripe.set_card(customer, "chargeCustomerFail")
    stripe.advance(clock, "2026-02-01T02:00:00")
    before = stripe.invoices(subscription["id"])[-1]
    with pytest.raises(StripeFailure) as failure:
        stripe.post(f"invoices/{before['id']}/pay")
    assert (failure.value.status, failure.value.code) == (402, "card_declined")
    after = stripe.get(f"invoices/{before['id']}")
    assert [after[name] for name in ("attempt_count", "next_payment_attempt")] == [1, before["next_payment_attempt"]]
    assert len(stripe.events("invoice.payment_failed")) == 2, "a failed try leaves its traces"
    other = stripe.post("payment_methods/pm_card_visa/attach", customer=customer)["id"]
    assert stripe.post(f"invoices/{before['id']}/pay", payment_method=other)["status"] == "paid"
    assert status(stripe, subscription) == "active"
    with pytest.raises(StripeFailure, match="already paid"):
        stripe.post(f"invoices/{before['id']}/pay")


def test_a_first_payment_that_fails_leaves_23_hours(stripe: Stripe) -> None:
    clock, customer, subscription = subscribed(stripe, "chargeCustomerFail")
    first = stripe.invoices(subscription["id"])[0]
    assert (subscription["status"], first["status"], first["auto_advance"]) == ("incomplete", "open", False)
    assert first["next_payment_attempt"] is None
    stripe.advance(clock, "2026-01-01T22:59:59")
    assert status(stripe, subscription) == "incomplete"
    stripe.advance(clock, "2026-01-01T23:00:00")
    assert status(stripe, subscription) == "incomplete_expired"
    assert stripe.get(f"invoices/{first['id']}")["status"] == "void"
    assert stripe.get("subscriptions", customer=customer)["data"] == []
    assert len(stripe.get("subscriptions", customer=customer, status="all")["data"]) == 1


def test_nothing_incomplete_is_left_where_that_is_an_error(stripe: Stripe) -> None:
    with pytest.raises(StripeFailure) as failure:
        subscribed(stripe, "chargeCustomerFail", payment_behavior="error_if_incomplete")
    assert failure.value.status == 402
    assert stripe.world.find("subscription") == stripe.world.find("invoice") == []


def test_without_a_card_there_is_no_subscription_but_an_incomplete_one(stripe: Stripe) -> None:
    with pytest.raises(StripeFailure, match="no attached payment source"):
        subscribed(stripe, None)
    _, _, waiting = subscribed(stripe, None, payment_behavior="default_incomplete")
    assert waiting["status"] == "incomplete"


def test_a_payment_that_waits_for_the_customer(stripe: Stripe) -> None:
    _, customer, subscription = subscribed(
        stripe,
        None,
        payment_behavior="default_incomplete",
        payment_settings={"save_default_payment_method": "on_subscription"},
        expand=["latest_invoice.confirmation_secret", "latest_invoice.payments"],
    )
    invoice = subscription["latest_invoice"]
    intent = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    assert invoice["confirmation_secret"]["client_secret"].startswith(f"{intent}_secret_")
    method = stripe.post("payment_methods/pm_card_visa/attach", customer=customer)["id"]
    assert stripe.post(f"payment_intents/{intent}/confirm", payment_method=method)["status"] == "succeeded"
    paid = stripe.get(f"subscriptions/{subscription['id']}")
    assert (paid["status"], paid["default_payment_method"]) == ("active", method)
    [payment] = stripe.get("invoice_payments", invoice=invoice["id"])["data"]
    assert (payment["status"], payment["amount_paid"]) == ("paid", 1000)


def test_authentication(stripe: Stripe) -> None:
    _, _, subscription = subscribed(stripe, "authenticationRequired")
    assert subscription["status"] == "incomplete"
    assert "invoice.payment_action_required" in stripe.event_types()
    intent = stripe.world.find("payment_intent")[0]
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    with pytest.raises(StripeFailure) as failure:
        stripe.post(f"invoices/{subscription['latest_invoice']}/pay")
    assert failure.value.code == "invoice_payment_intent_requires_action"
    collection.confirm(stripe.world, intent, authenticated=True)
    assert (intent["status"], status(stripe, subscription)) == ("succeeded", "active")


def test_void_and_uncollectible_invoices_stop_the_dunning(stripe: Stripe) -> None:
    for verdict, final in (("void", "void"), ("mark_uncollectible", "uncollectible")):
        clock, customer, subscription = subscribed(stripe)
        stripe.set_card(customer, "chargeCustomerFail")
        stripe.advance(clock, "2026-02-01T02:00:00")
        invoice = stripe.invoices(subscription["id"])[-1]
        closed = stripe.post(f"invoices/{invoice['id']}/{verdict}")
        assert (closed["status"], closed["next_payment_attempt"]) == (final, None)
        assert status(stripe, subscription) == "active"


def test_money_from_elsewhere(stripe: Stripe) -> None:
    _, _, subscription = subscribed(stripe, "chargeCustomerFail")
    paid = stripe.post(f"invoices/{subscription['latest_invoice']}/pay", paid_out_of_band=True)
    assert (paid["status"], paid["amount_paid_off_stripe"]) == ("paid", 1000)
    assert status(stripe, subscription) == "active"
    assert stripe.world.find("payment_intent")[0]["status"] == "canceled"
