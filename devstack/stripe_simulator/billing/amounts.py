"""What a quantity of a price costs: exact decimals, one rounding a line.

docs.stripe.com/products-prices/pricing-models and docs.stripe.com/subscriptions/pricing-models/tiered-pricing.
Stripe may show a graduated price as one line per tier; here it is one line per price, as for every other scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

from devstack.stripe_simulator.failures import Obj

_EXACT = Context(prec=60)


def rounded(amount: Decimal | Fraction) -> int:
    """Return the nearest whole minor unit, halves away from zero."""
    if isinstance(amount, Fraction):
        size = (2 * abs(amount.numerator) + amount.denominator) // (2 * amount.denominator)
        return size if amount >= 0 else -size
    return int(amount.to_integral_value(ROUND_HALF_UP))


def amount_of(price: Obj, currency: str, quantity: int) -> int:
    """Return what `quantity` units cost in a currency that the price has, in minor units."""
    option: Obj = price["_currency_options"][currency]
    if price["billing_scheme"] == "tiered":
        price_of = _graduated if price["tiers_mode"] == "graduated" else _volume
        return rounded(price_of(option["tiers"], quantity))
    return rounded(_EXACT.multiply(Decimal(option["unit_amount_decimal"]), Decimal(_packages(price, quantity))))


def prorated(amount: int, start: int, end: int, at: int) -> int:
    """Return the part of an amount that belongs to [at, end) of its period [start, end), to the second."""
    return rounded(Fraction(amount * (end - at), end - start))


def _packages(price: Obj, quantity: int) -> int:
    """Return the quantity after `transform_quantity`: divided, rounded up or down."""
    transform = price["transform_quantity"]
    if transform is None:
        return quantity
    size: int = transform["divide_by"]
    return -(-quantity // size) if transform["round"] == "up" else quantity // size


def _graduated(tiers: Sequence[Obj], quantity: int) -> Decimal:
    """Charge each unit in its own tier. "Stripe always bills the first flat rate tier when quantity=0"."""
    total, below = Decimal(0), 0
    for number, tier in enumerate(tiers):
        upper = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
        if upper <= below and number:
            break
        total += _tier(tier, upper - below)
        below = upper
    return total


def _volume(tiers: Sequence[Obj], quantity: int) -> Decimal:
    """Charge every unit in the tier that the whole quantity reaches."""
    return _tier(next(tier for tier in tiers if tier["up_to"] is None or quantity <= tier["up_to"]), quantity)


def _tier(tier: Obj, quantity: int) -> Decimal:
    unit, flat = Decimal(tier["unit_amount_decimal"] or 0), Decimal(tier["flat_amount_decimal"] or 0)
    return _EXACT.multiply(unit, Decimal(quantity)) + flat
