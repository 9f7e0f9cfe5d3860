"""The card form of the pages, as a payment method."""

from __future__ import annotations

from collections.abc import Mapping

from devstack.stripe_simulator import payment_methods
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

_TEST_EXPIRY = "12/34"
_TEST_CODE = "123"


def read_card(world: World, fields: Mapping[str, str], payer: Mapping[str, str | None]) -> Obj:
    """Keep the card that was typed, or the test card that was clicked. Raises: StripeFailure."""
    clicked = fields.get("test_card")
    month, _, year = (_TEST_EXPIRY if clicked else fields.get("expiry", "")).partition("/")
    card = {
        "number": clicked or fields.get("number", ""),
        "exp_month": month.strip(),
        "exp_year": year.strip(),
        "cvc": _TEST_CODE if clicked else fields.get("cvc", ""),
    }
    details = {name: value for name, value in payer.items() if value}
    return payment_methods.read(world, Parameters({"type": "card", "card": card, "billing_details": details}))
