"""Stripe's test cards (docs.stripe.com/testing): what each does when it is attached, set up and charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devstack.stripe_simulator.failures import Obj, StripeFailure, card_declined

Authentication = Literal["never", "once", "always", "on_session"]
"""When the bank asks for it: `once` until it was done for later payments; `on_session` not without the holder."""


@dataclass(frozen=True)
class Outcome:
    """What the bank says to a charge; the fields beside `kind` are those of Stripe's error."""

    kind: Literal["paid", "declined", "authentication_required"]
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Card:
    """A test card."""

    number: str
    name: str
    """`pm_card_{name}` and `tok_{name}` stand for it."""
    title: str
    brand: str = "visa"
    funding: str = "credit"
    declines: Outcome | None = None
    attaches: bool = True
    authentication: Authentication = "never"


def _declined(code: str, decline_code: str, message: str = "Your card was declined.") -> Outcome:
    return Outcome("declined", code, decline_code, message)


PAID = Outcome("paid")
AUTHENTICATION_REQUIRED = Outcome(
    "authentication_required",
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
_GENERIC = _declined("card_declined", "generic_decline")
_NO_FUNDS = _declined("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_EXPIRED = _declined("expired_card", "expired_card", "Your card has expired.")
_BAD_CVC = _declined("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
_PROCESSING = _declined(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
)

CARDS = (
    Card("4242424242424242", "visa", "Pays"),
    Card("4000056655665556", "visa_debit", "Pays (debit)", funding="debit"),
    Card("5555555555554444", "mastercard", "Pays (Mastercard)", brand="mastercard"),
    Card("378282246310005", "amex", "Pays (American Express)", brand="amex"),
    Card("6011111111111117", "discover", "Pays (Discover)", brand="discover"),
    Card("4000000000000002", "chargeDeclined", "Is declined", declines=_GENERIC, attaches=False),
    Card(
        "4000000000009995",
        "chargeDeclinedInsufficientFunds",
        "Is declined: insufficient funds",
        declines=_NO_FUNDS,
        attaches=False,
    ),
    Card(
        "4000000000009987",
        "chargeDeclinedLostCard",
        "Is declined: lost",
        declines=_declined("card_declined", "lost_card"),
        attaches=False,
    ),
    Card(
        "4000000000009979",
        "chargeDeclinedStolenCard",
        "Is declined: stolen",
        declines=_declined("card_declined", "stolen_card"),
        attaches=False,
    ),
    Card("4000000000000069", "chargeDeclinedExpiredCard", "Has expired", declines=_EXPIRED, attaches=False),
    Card("4000000000000127", "chargeDeclinedIncorrectCvc", "Wrong code", declines=_BAD_CVC, attaches=False),
    Card(
        "4000000000000119",
        "chargeDeclinedProcessingError",
        "Processing error",
        declines=_PROCESSING,
        attaches=False,
    ),
    Card("4000000000000341", "chargeCustomerFail", "Is saved, then fails to pay", declines=_GENERIC),
    Card("4000000000003220", "threeDSecure2Required", "Asks for authentication", authentication="once"),
    Card(
        "4000002500003155",
        "authenticationRequiredOnSetup",
        "Asks for authentication until it is set up",
        authentication="once",
    ),
    Card(
        "4000002760003184",
        "authenticationRequired",
        "Asks for authentication every time",
        authentication="always",
    ),
    Card(
        "4000003800000446",
        "authenticationRequiredSetupForOffSession",
        "Asks for authentication while you are there",
        authentication="on_session",
    ),
    Card(
        "4000008260003178",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "Asks for authentication, then has no funds",
        declines=_NO_FUNDS,
        authentication="once",
    ),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {card.name: card for card in CARDS}
# Shown on pages as one-click choices.
OFFERED = tuple(BY_NAME[name] for name in ("visa", "threeDSecure2Required", "chargeDeclined", "chargeCustomerFail"))


def card_of(payment_method: Obj) -> Card:
    """Return the test card behind a payment method."""
    return BY_NAME[payment_method["_card"]]


def charge_outcome(payment_method: Obj, *, off_session: bool) -> Outcome:
    """Return what charging this payment method does; `off_session`: nobody is there to authenticate.

    The private key `_authenticated` says what was done before: "set_up" for later payments, "now" for this one.
    """
    card = card_of(payment_method)
    done = payment_method.get("_authenticated")
    asks = {
        "never": False,
        "once": done is None,
        "always": done != "now",
        "on_session": not off_session and done != "now",
    }[card.authentication]
    if asks:
        return AUTHENTICATION_REQUIRED
    return card.declines or PAID


def setup_outcome(payment_method: Obj) -> Outcome:
    """Return what setting this payment method up for later payments does."""
    card = card_of(payment_method)
    if not card.attaches:
        return card.declines or PAID
    if card.authentication in ("once", "always") and payment_method.get("_authenticated") is None:
        return AUTHENTICATION_REQUIRED
    return PAID


def declined(outcome: Outcome, *, keeps_effects: bool = True, **objects: Obj) -> StripeFailure:
    """Return Stripe's 402 for what the bank said; `objects` go along in the error (payment_intent=…)."""
    return card_declined(
        outcome.message or "Your card was declined.",
        outcome.code or "card_declined",
        outcome.decline_code,
        extra=objects,
        keeps_effects=keeps_effects,
    )
