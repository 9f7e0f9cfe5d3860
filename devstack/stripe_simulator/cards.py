"""Stripe's test cards: what each does when it is attached and charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devstack.stripe_simulator.failures import Obj


@dataclass(frozen=True)
class Outcome:
    """What the bank says to a charge."""

    kind: Literal["paid", "declined", "authentication_required"]
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


PAID = Outcome("paid")


def charge_outcome(payment_method: Obj, *, off_session: bool) -> Outcome:
    """Return what charging this payment method does; `off_session`: nobody is there to authenticate."""
    return PAID
