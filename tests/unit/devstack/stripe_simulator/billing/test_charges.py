"""Refunds and disputes of what was paid."""

from __future__ import annotations

import pytest

from devstack.stripe_simulator.billing import charges
from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe


@pytest.fixture
def payment(stripe: Stripe) -> str:
    """Return the payment intent of a paid invoice of 10.00."""
    stripe.post("subscriptions", customer=stripe.customer(), items=[{"price": stripe.price()}])
    (found,) = stripe.get("payment_intents")["data"]
    return str(found["id"])


def test_a_payment_has_its_charge(stripe: Stripe, payment: str) -> None:
    charge = stripe.get(f"charges/{stripe.get(f'payment_intents/{payment}')['latest_charge']}")
    assert (charge["amount"], charge["amount_refunded"], charge["payment_intent"]) == (1_000, 0, payment)
    assert stripe.get("charges", payment_intent=payment)["data"] == [charge]


def test_money_is_given_back_in_parts_until_none_is_left(stripe: Stripe, payment: str) -> None:
    assert stripe.post("refunds", payment_intent=payment, amount=300)["status"] == "succeeded"
    with pytest.raises(StripeFailure, match="greater than unrefunded"):
        stripe.post("refunds", payment_intent=payment, amount=701)
    assert stripe.post("refunds", payment_intent=payment)["amount"] == 700
    with pytest.raises(StripeFailure, match="already been refunded"):
        stripe.post("refunds", payment_intent=payment)
    told = [event["data"]["object"] for event in stripe.events("charge.refunded")]
    assert [(charge["amount_refunded"], charge["refunded"]) for charge in told] == [(300, False), (1_000, True)]


def test_a_dispute_is_opened_and_closed_once(stripe: Stripe, payment: str) -> None:
    with stripe.world.call():
        charges.dispute(stripe.world, payment, "needs_response")
    with pytest.raises(StripeFailure, match="once"), stripe.world.call():
        charges.dispute(stripe.world, payment, "needs_response")
    with pytest.raises(StripeFailure, match="charged back"):
        stripe.post("refunds", payment_intent=payment)
    with stripe.world.call():
        charges.dispute(stripe.world, payment, "lost")
    with pytest.raises(StripeFailure, match="is open"), stripe.world.call():
        charges.dispute(stripe.world, payment, "won")
    assert stripe.event_types("charge.dispute.") == ["charge.dispute.created", "charge.dispute.closed"]
    (found,) = stripe.get("disputes", payment_intent=payment)["data"]
    assert found["status"] == "lost"
