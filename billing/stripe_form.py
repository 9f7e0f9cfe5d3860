"""How a price is written at Stripe, as plain data: `sinks/stripe` sends it.

An included quantity is a free first graduated tier; a least or most spend is graduated tiers with the same total for
every whole quantity; a package is `transform_quantity`, which cannot be combined with tiers
(docs.stripe.com/api/prices/create). `prices` has refused already what cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from billing.money import EXACT
from billing.prices import Price
from billing.rates import PriceKind, Rate, Tier, graduated_amount

TiersMode = Literal["graduated", "volume"]


@dataclass(frozen=True, slots=True)
class StripeAmounts:
    """Of one currency: either `unit_amount_decimal` or tiers (`unit_amount_decimal`, `flat_amount`, `up_to`)."""

    unit_amount: Decimal | None = None
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePrice:
    """A price's parameters but for the product's and the meter's ids, which the sender adds."""

    currency: str
    amounts: StripeAmounts
    currency_options: Mapping[str, StripeAmounts] = field(default_factory=dict, hash=False)
    billing_scheme: Literal["per_unit", "tiered"]
    tiers_mode: TiersMode | None = None
    transform_divide_by: int | None = None
    """`transform_quantity` with `round=up`."""
    interval: str
    interval_count: int
    usage_type: Literal["licensed", "metered"]
    meter: str | None = None
    """Our meter's slug."""
    lookup_key: str
    nickname: str


def stripe_price(price: Price) -> StripePrice:
    """Express a price at Stripe."""
    tiers = {code: _tiers(price, rate) for code, rate in price.rates.items()}
    mode = _tiers_mode(price, tiers)
    amounts = {
        code: StripeAmounts(tiers=tiers[code]) if mode else StripeAmounts(rate.unit_amount)
        for code, rate in price.rates.items()
    }
    default, *others = price.currencies
    return StripePrice(
        currency=default,
        amounts=amounts[default],
        currency_options={code: amounts[code] for code in others},
        billing_scheme="tiered" if mode else "per_unit",
        tiers_mode=mode,
        transform_divide_by=price.package_size,
        interval=price.cycle.interval,
        interval_count=price.cycle.count,
        usage_type="metered" if price.metered else "licensed",
        meter=price.metered.meter if price.metered else None,
        lookup_key=price.slug,
        nickname=price.name or price.slug,
    )


def _tiers_mode(price: Price, tiers: Mapping[str, tuple[Tier, ...]]) -> TiersMode | None:
    """One for all currencies, as Stripe has it; None when unit amounts say it all."""
    if price.kind is PriceKind.VOLUME:
        return "volume"
    changed = any(tiers[code] != rate.schedule() for code, rate in price.rates.items())
    return "graduated" if changed or price.kind is PriceKind.GRADUATED else None


def _tiers(price: Price, rate: Rate) -> tuple[Tier, ...]:
    tiers = rate.schedule()
    if price.included_quantity:
        tiers = _with_free_units(tiers, price.included_quantity)
    if rate.minimum:
        tiers = _at_least(tiers, rate.minimum)
    if rate.maximum is not None:
        tiers = _at_most(tiers, rate.maximum)
    return tiers


def _with_free_units(tiers: Sequence[Tier], included: int) -> tuple[Tier, ...]:
    """Shift all tiers up. The first flat amount is due from quantity 0 on, so the free tier carries it."""
    shifted = [replace(tier, up_to=None if tier.up_to is None else tier.up_to + included) for tier in tiers]
    shifted[0] = replace(shifted[0], flat_amount=0)
    return (Tier(included, flat_amount=tiers[0].flat_amount), *shifted)


def _at_least(tiers: tuple[Tier, ...], minimum: int) -> tuple[Tier, ...]:
    """Charge the minimum up to the last unit that it covers; the next unit makes up what is over it."""
    covered = _covered(tiers, minimum)
    if covered is None:
        return (Tier(None, flat_amount=minimum),)
    if covered < 0:
        return tiers
    step = EXACT.subtract(graduated_amount(tiers, covered + 1), Decimal(minimum))
    head = [Tier(covered, flat_amount=minimum), Tier(covered + 1, step)] if covered else [Tier(1, step, minimum)]
    return tuple(_merged([*head, *_beyond(tiers, covered + 1)]))


def _at_most(tiers: tuple[Tier, ...], maximum: int) -> tuple[Tier, ...]:
    """Charge as usual up to the last unit within the maximum; the next unit costs the rest, further ones nothing."""
    covered = _covered(tiers, maximum)
    if covered is None:
        return tiers
    if covered < 0:
        return (Tier(None, flat_amount=maximum),)
    step = EXACT.subtract(Decimal(maximum), graduated_amount(tiers, covered))
    head = list(_within(tiers, covered)) if covered else []
    flat = 0 if covered else tiers[0].flat_amount
    return tuple(_merged([*head, Tier(covered + 1, step, flat), Tier(None)]))


def _covered(tiers: Sequence[Tier], limit: int) -> int | None:
    """Return the largest quantity that costs no more than the limit: None for any, -1 when not even 0 does."""
    spent, lower = Decimal(0), 0
    for tier in tiers:
        spent = EXACT.add(spent, Decimal(tier.flat_amount))
        if spent > limit:
            return lower if lower else -1
        if tier.unit_amount:
            room = int(EXACT.divide_int(EXACT.subtract(Decimal(limit), spent), tier.unit_amount))
            if tier.up_to is None or lower + room < tier.up_to:
                return lower + room
        if tier.up_to is not None:
            spent = EXACT.add(spent, EXACT.multiply(tier.unit_amount, Decimal(tier.up_to - lower)))
            lower = tier.up_to
    return None


def _within(tiers: Sequence[Tier], last: int) -> Iterator[Tier]:
    """Yield the tiers up to a unit, the one that holds it cut there."""
    for tier in tiers:
        if tier.up_to is None or tier.up_to >= last:
            yield replace(tier, up_to=last)
            return
        yield tier


def _beyond(tiers: Sequence[Tier], last: int) -> Iterator[Tier]:
    """Yield the tiers after a unit; the flat amount of a tier that was entered before it is charged already."""
    lower = 0
    for tier in tiers:
        if tier.up_to is None or tier.up_to > last:
            yield tier if lower >= last else replace(tier, flat_amount=0)
        lower = tier.up_to or 0


def _merged(tiers: Sequence[Tier]) -> Iterator[Tier]:
    """Join neighbours that cost the same."""
    held = tiers[0]
    for tier in tiers[1:]:
        if tier.flat_amount == 0 and tier.unit_amount == held.unit_amount:
            held = replace(held, up_to=tier.up_to)
        else:
            yield held
            held = tier
    yield held
