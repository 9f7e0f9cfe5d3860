"""What Stripe refuses, in words that say what a client of ours can do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runtime.errors import BusinessLogicError, InvalidInput, MeterstreamError, NotFoundError, PaymentFailed
from runtime.logging import get_logger

log = get_logger(__name__)

_TAX_ID: Final = re.compile(r"tax_id_data\[(\d+)\]")
_DISCOUNT: Final = re.compile(r"discounts\[\d+\]\[(promotion_code|coupon)\]")
_DISCOUNT_CODES: Final = frozenset({"coupon_expired", "promotion_code_inactive", "promotion_code_expired"})
_AUTHENTICATION: Final = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "subscription_payment_intent_requires_action",
    }
)
# Stripe gives this refusal no code.
_CURRENCIES: Final = "You cannot combine currencies on a single customer"
_LATER: Final = "Try again in a few minutes; if it fails again, use another card"
_TYPED: Final = "Enter the card again and check it, or use another card"
# docs.stripe.com/declines/codes; what is not here, lost and stolen cards among it, is of no use to whoever pays.
_ADVICE: Final = {
    "card_velocity_exceeded": "The card has reached its limit: use another card, or try again tomorrow",
    "currency_not_supported": "The card does not pay in this currency: use another card",
    "expired_card": "The card has expired: use another card",
    "incorrect_cvc": _TYPED,
    "incorrect_number": _TYPED,
    "incorrect_zip": _TYPED,
    "insufficient_funds": "The account lacks the money: use another card, or try again later",
    "invalid_cvc": _TYPED,
    "invalid_expiry_month": _TYPED,
    "invalid_expiry_year": _TYPED,
    "invalid_number": _TYPED,
    "issuer_not_available": _LATER,
    "processing_error": _LATER,
    "reenter_transaction": _LATER,
    "try_again_later": _LATER,
    "withdrawal_count_limit_exceeded": "The card has reached its limit: use another card, or try again tomorrow",
}
_OTHER_CARD: Final = "Use another card, or ask the bank that issued this one"
_HOW: Final = "a card is added with POST /payment-methods or on Stripe's page (POST /portal)"
PAGE: Final = "let them pay on Stripe's page (POST /checkout), which asks them"
"""Where a customer can confirm what they buy."""


@contextmanager
def explained_refusals(field: str = "tax_ids", *, authenticate: str = PAGE) -> Iterator[None]:
    """Turn Stripe's refusals into ours; `field` is the tax id that is sent, where it is one alone.

    `authenticate` says where the customer can confirm the payment, where their bank wants that. Raises: PaymentFailed
    PAYMENT_FAILED, AUTHENTICATION_REQUIRED; BusinessLogicError PAYMENT_METHOD_REQUIRED, CUSTOMER_CURRENCY,
    DISCOUNT_CODE_EXHAUSTED, TAX_ID_INVALID; NotFoundError NO_UPCOMING_INVOICE. Other errors pass.
    """
    try:
        yield
    except PaymentFailed as exc:
        # Without a traceback: a card that is declined is no bug.
        told = ("call", "decline_code", "stripe_code", "stripe_request_id")
        log.error("A payment failed", **{each: exc.details[each] for each in told if each in exc.details})  # noqa: TRY400
        raise _declined(exc, authenticate) from exc
    except InvalidInput as exc:
        refused = _refused(exc, field)
        if refused is exc:
            raise
        raise refused from exc
    except NotFoundError as exc:
        if exc.details.get("stripe_code") == "invoice_upcoming_none":
            raise NotFoundError(
                "Nothing more will be billed: the subscription has ended, ends with its period, or is paused.",
                code="NO_UPCOMING_INVOICE",
            ) from exc
        raise


def customer_currency(currency: str, running: str) -> BusinessLogicError:
    """Return what is said of a purchase in another currency than what the customer pays already."""
    return BusinessLogicError(
        f"The customer pays for a subscription in {running}, and Stripe takes one currency a customer: buy in"
        f" {running}, or for another customer, or end what is paid in {running} first.",
        code="CUSTOMER_CURRENCY",
        field="currency",
        currency=currency,
        customer_currency=running,
    )


def _declined(exc: PaymentFailed, authenticate: str) -> PaymentFailed:
    codes = {exc.details.get("stripe_code"), exc.details.get("decline_code")}
    if codes & _AUTHENTICATION:
        return PaymentFailed(
            f"The bank wants the customer to confirm the payment: {authenticate}.",
            code="AUTHENTICATION_REQUIRED",
            **exc.details,
        )
    advice = next((_ADVICE[code] for code in codes if code in _ADVICE), _OTHER_CARD)
    return PaymentFailed(f"{exc.message.rstrip('.')}. {advice}; {_HOW}.", code=exc.code, **exc.details)


def _refused(exc: InvalidInput, field: str) -> MeterstreamError:
    code, param = exc.details.get("stripe_code"), exc.details.get("field", "")
    if code == "tax_id_invalid":
        # Named as Stripe's list of them, where there is one.
        place = _TAX_ID.match(param)
        return BusinessLogicError(
            f"{exc.message.rstrip('.')}: give it in the form of its type, as"
            " https://docs.stripe.com/billing/customer/tax-ids shows.",
            code="TAX_ID_INVALID",
            field=field if place is None else f"tax_ids.{place[1]}.value",
        )
    # Without a parameter's name it is no id that is missing, but something to charge.
    if code == "resource_missing" and not param:
        return BusinessLogicError(
            "The customer has nothing to pay with by default: make one of their cards the default (POST"
            " /payment-methods/{id}/default), let them add one (POST /portal), or pay on a page (POST /checkout).",
            code="PAYMENT_METHOD_REQUIRED",
        )
    if code in _DISCOUNT_CODES or (_DISCOUNT.match(param) and code != "resource_missing"):
        return BusinessLogicError(
            "The discount code can be used no more: somebody else used it last, or its time is over. Go on without it.",
            code="DISCOUNT_CODE_EXHAUSTED",
            field="discount_code",
        )
    if exc.message.startswith(_CURRENCIES):
        return BusinessLogicError(
            f"{exc.message.rstrip('.')}: buy in the customer's currency, or for another customer.",
            code="CUSTOMER_CURRENCY",
            field="currency",
        )
    return exc
