"""What a price asks in one currency: unit amounts, tiers, the least and the most a period costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from billing.money import EXACT, MAX_MINOR

MAX_DECIMALS: Final = 12
"""Of a unit amount in minor units (docs.stripe.com/api/prices/create, `unit_amount_decimal`)."""

Problem = tuple[str, str]
"""A field's path and what is wrong with it and would be right."""


class PriceKind(StrEnum):
    """How a quantity becomes an amount."""

    FLAT = "flat"
    PER_SEAT = "per_seat"
    PER_UNIT = "per_unit"
    GRADUATED = "graduated"
    VOLUME = "volume"
    PACKAGE = "package"


TIERED: Final = frozenset({PriceKind.GRADUATED, PriceKind.VOLUME})
WHOLE: Final = frozenset({PriceKind.FLAT, PriceKind.PER_SEAT})
"""Their amount is shown to customers as it is, so it has no fraction of a minor unit."""

BOUNDED: Final = frozenset({PriceKind.PER_SEAT, PriceKind.PER_UNIT, PriceKind.GRADUATED})
"""What may have an included quantity and spend bounds: only these are exactly expressible as graduated tiers at Stripe,
where `transform_quantity` excludes tiers, and volume tiers may fall with the quantity."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and including `up_to` (None: all further ones). Minor units; the flat amount is added once."""

    up_to: int | None
    unit_amount: Decimal = Decimal(0)
    flat_amount: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Either a unit amount or tiers; `minimum` and `maximum` bound what a period costs. Minor units."""

    unit_amount: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    def schedule(self) -> tuple[Tier, ...]:
        """Return the tiers; a unit amount is one open tier."""
        return self.tiers or (Tier(None, self.unit_amount or Decimal(0)),)


def tier_parts(tiers: Sequence[Tier], quantity: Decimal) -> Iterator[tuple[Tier, Decimal]]:
    """Yield the tiers that a quantity touches and how much of it lies in each.

    The first tier is always touched: "Stripe always bills the first flat rate tier when quantity=0"
    (docs.stripe.com/subscriptions/pricing-models/tiered-pricing).
    """
    lower = 0
    for tier in tiers:
        if lower and quantity <= lower:
            return
        upper = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        yield tier, EXACT.subtract(upper, Decimal(lower))
        lower = tier.up_to or 0


def tier_amount(tier: Tier, quantity: Decimal) -> Decimal:
    """Return the exact amount of a part of a tier."""
    return EXACT.add(EXACT.multiply(tier.unit_amount, quantity), Decimal(tier.flat_amount))


def graduated_amount(tiers: Sequence[Tier], quantity: int) -> Decimal:
    """Return the exact amount of a whole quantity over graduated tiers."""
    total = Decimal(0)
    for tier, part in tier_parts(tiers, Decimal(quantity)):
        total = EXACT.add(total, tier_amount(tier, part))
    return total


def rate_problems(kind: PriceKind, rate: Rate) -> Iterator[Problem]:
    """Yield everything that is wrong with a rate of a price of that kind."""
    if kind in TIERED:
        yield from _tiers_problems(rate)
    elif rate.tiers:
        yield "tiers", f"belong to graduated and volume prices; write amount for {kind}"
    elif rate.unit_amount is None:
        yield "amount", f"is missing; a {kind} price needs one"
    else:
        yield from _amount_problems("amount", rate.unit_amount, whole=kind in WHOLE)
    yield from _bound_problems(kind, rate)


def _tiers_problems(rate: Rate) -> Iterator[Problem]:
    if rate.unit_amount is not None:
        yield "amount", "belongs to prices without tiers; write unit_amount in each tier"
    if not rate.tiers:
        yield "tiers", "are missing; write at least one, the last without up_to"
    last = len(rate.tiers) - 1
    for index, tier in enumerate(rate.tiers):
        where = f"tiers[{index}]"
        yield from _amount_problems(f"{where}.unit_amount", tier.unit_amount, whole=False)
        yield from _amount_problems(f"{where}.flat_amount", Decimal(tier.flat_amount), whole=True)
        yield from _bound_order(f"{where}.up_to", tier, rate.tiers[:index], is_last=index == last)


def _bound_order(field: str, tier: Tier, before: Sequence[Tier], *, is_last: bool) -> Iterator[Problem]:
    lower = max((earlier.up_to or 0 for earlier in before), default=0)
    if is_last and tier.up_to is not None:
        yield field, f"units above {tier.up_to} have no price; leave up_to out of the last tier"
    elif not is_last and tier.up_to is None:
        yield field, f"the tiers after it are never reached; write the last unit of the tier, above {lower}"
    elif tier.up_to is not None and tier.up_to <= lower:
        yield field, f"{tier.up_to} overlaps the tier before; write more than {lower}"


def _amount_problems(field: str, amount: Decimal, *, whole: bool) -> Iterator[Problem]:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        yield field, f"{amount} is no number; write 0 or more"
    elif amount < 0:
        yield field, f"{amount:f} minor units are negative; write 0 or more"
    elif amount > MAX_MINOR:
        yield field, f"{amount:f} minor units are too many; write at most {MAX_MINOR}"
    elif amount != amount.to_integral_value() and whole:
        yield field, f"{amount:f} has a fraction of a minor unit; write whole minor units"
    elif amount != round(amount, MAX_DECIMALS):
        yield field, f"{amount:f} minor units have more than {MAX_DECIMALS} decimals; write at most {MAX_DECIMALS}"


def _bound_problems(kind: PriceKind, rate: Rate) -> Iterator[Problem]:
    bounds = (("minimum", rate.minimum), ("maximum", rate.maximum))
    for field, bound in bounds:
        if bound is None:
            continue
        if kind not in BOUNDED:
            yield field, f"Stripe cannot express it for {kind} prices; use {names(BOUNDED)}, or leave it out"
        yield from _amount_problems(field, Decimal(bound), whole=True)
    if rate.minimum is not None and rate.maximum is not None and rate.maximum < rate.minimum:
        yield "maximum", f"{rate.maximum} is below the minimum; write {rate.minimum} or more"


def names(kinds: Iterable[PriceKind]) -> str:
    """Write kinds as a list, always in the same order."""
    return ", ".join(sorted(kinds))
