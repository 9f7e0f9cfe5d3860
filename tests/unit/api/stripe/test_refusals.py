"""What clients are told where Stripe refuses."""

from __future__ import annotations

from typing import Any

import pytest

from api.stripe.refusals import explained_refusals
from runtime.errors import InvalidInput, MeterstreamError, PaymentFailed

pytestmark = pytest.mark.unit


def told(error: MeterstreamError, **options: Any) -> MeterstreamError:
    """Return what becomes of an error."""
    with pytest.raises(MeterstreamError) as refused, explained_refusals(**options):
        raise error
    return refused.value


@pytest.mark.parametrize(
    ("details", "advice"),
    [
        ({"stripe_code": "card_declined", "decline_code": "insufficient_funds"}, "The account lacks the money"),
        ({"stripe_code": "card_declined", "decline_code": "generic_decline"}, "Use another card, or ask the bank"),
        ({"stripe_code": "card_declined", "decline_code": "stolen_card"}, "Use another card, or ask the bank"),
        ({"stripe_code": "expired_card", "decline_code": "expired_card"}, "The card has expired: use another card"),
        ({"stripe_code": "incorrect_cvc"}, "Enter the card again and check it"),
        ({"stripe_code": "processing_error"}, "Try again in a few minutes"),
        ({}, "Use another card, or ask the bank"),
    ],
)
def test_a_declined_card_says_what_to_do(details: dict[str, Any], advice: str) -> None:
    refused = told(PaymentFailed("Your card was declined.", **details))
    assert (refused.code, refused.details) == ("PAYMENT_FAILED", details)
    assert refused.message.startswith(f"Your card was declined. {advice}")
    assert "POST /payment-methods" in refused.message


@pytest.mark.parametrize(
    "details",
    [
        {"stripe_code": "authentication_required", "decline_code": "authentication_required"},
        {"stripe_code": "card_declined", "decline_code": "authentication_required"},
        {"stripe_code": "subscription_payment_intent_requires_action"},
        {"stripe_code": "invoice_payment_intent_requires_action"},
    ],
)
def test_a_payment_to_confirm_says_where(details: dict[str, Any]) -> None:
    refused = told(PaymentFailed("This needs authentication.", **details), authenticate="let them pay at https://x.y")
    assert isinstance(refused, PaymentFailed)
    assert (refused.code, refused.details) == ("AUTHENTICATION_REQUIRED", details)
    assert refused.message == "The bank wants the customer to confirm the payment: let them pay at https://x.y."


@pytest.mark.parametrize(
    ("message", "details", "code"),
    [
        ("No payment source", {"stripe_code": "resource_missing"}, "PAYMENT_METHOD_REQUIRED"),
        ("No such price", {"stripe_code": "resource_missing", "field": "items[0][price]"}, "INVALID_INPUT"),
        ("Coupon has expired.", {"stripe_code": "coupon_expired"}, "DISCOUNT_CODE_EXHAUSTED"),
        ("Not redeemable.", {"field": "discounts[0][promotion_code]"}, "DISCOUNT_CODE_EXHAUSTED"),
        (
            "You cannot combine currencies on a single customer. This customer has an active subscription with usd",
            {},
            "CUSTOMER_CURRENCY",
        ),
        ("Something else", {"field": "quantity"}, "INVALID_INPUT"),
    ],
)
def test_expected_refusals_have_names_of_their_own(message: str, details: dict[str, Any], code: str) -> None:
    assert told(InvalidInput(message, **details)).code == code
