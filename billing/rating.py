"""Quantity × price → exact lines, whose sum is rounded once, half up.

Lines explain an amount, one per tier that was touched; invoices have one line per price. Amounts are never negative.
A larger quantity never costs less, except with volume prices, whose total may fall where a cheaper tier begins
(docs.stripe.com/subscriptions/pricing-models/tiered-pricing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from billing.money import EXACT, round_half_up
from billing.prices import Price
from billing.rates import PriceKind, Rate, Tier, tier_amount, tier_parts
from runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class RatedLine:
    """A part of an amount: quantity × unit_amount + flat_amount, in exact minor units, unless a bound changed it."""

    description: str
    quantity: Decimal
    unit_amount: Decimal
    flat_amount: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Rating:
    """What a quantity costs: `amount` is the lines' exact sum rounded to whole minor units."""

    lines: tuple[RatedLine, ...]
    amount: int


def rate_quantity(price: Price, currency: str, quantity: Decimal | int) -> Rating:
    """Price a quantity of one period. A flat price takes any quantity as 1. Raises: InvalidInput."""
    rate, units = price.rate(currency), Decimal(quantity)
    if not units.is_finite() or units < 0:
        raise InvalidInput(f"quantity: {quantity} is no quantity; write 0 or more", field="quantity")
    lines = list(_bounded(list(_lines(price, rate, units)), rate))
    total = Decimal(0)
    for line in lines:
        total = EXACT.add(total, line.amount)
    return Rating(tuple(lines), round_half_up(total))


def _lines(price: Price, rate: Rate, units: Decimal) -> Iterator[RatedLine]:
    """Give each kind of price its meaning."""
    schedule = rate.schedule()
    match price.kind:
        case PriceKind.FLAT:
            yield _line("Flat", schedule[0], Decimal(1))
        case PriceKind.PACKAGE:
            size = price.package_size or 1
            begun = EXACT.add(units, Decimal(size - 1)).to_integral_value(ROUND_CEILING)
            packages = EXACT.divide_int(begun, Decimal(size))
            yield _line(f"Packages of {size}", schedule[0], packages)
        case PriceKind.VOLUME:
            tier = next(tier for tier in schedule if tier.up_to is None or units <= tier.up_to)
            yield _line(_tier_name(schedule, tier), tier, units)
        case _:
            included = min(units, Decimal(price.included_quantity))
            if included:
                yield _line("Included", Tier(None), included)
            for tier, part in tier_parts(schedule, EXACT.subtract(units, included)):
                if part or tier.flat_amount or not included:
                    yield _line(_tier_name(schedule, tier), tier, part)


def _line(description: str, tier: Tier, quantity: Decimal) -> RatedLine:
    amount = tier_amount(tier, quantity)
    return RatedLine(description, quantity, tier.unit_amount, tier.flat_amount, amount)


def _tier_name(schedule: tuple[Tier, ...], tier: Tier) -> str:
    if len(schedule) == 1:
        return "Units"
    number = schedule.index(tier)
    lower = 1 if number == 0 else (schedule[number - 1].up_to or 0) + 1
    return f"Units {lower} and above" if tier.up_to is None else f"Units {lower} to {tier.up_to}"


def _bounded(lines: list[RatedLine], rate: Rate) -> Iterator[RatedLine]:
    """Cut lines where the maximum is reached, or add what is missing to the minimum."""
    spent = Decimal(0)
    for line in lines:
        amount = line.amount
        if rate.maximum is not None and EXACT.add(spent, amount) > rate.maximum:
            amount = EXACT.subtract(Decimal(rate.maximum), spent)
        spent = EXACT.add(spent, amount)
        cut = amount != line.amount
        yield replace(line, amount=amount, description=f"{line.description}, to the maximum") if cut else line
    if rate.minimum is not None and spent < rate.minimum:
        missing = EXACT.subtract(Decimal(rate.minimum), spent)
        yield RatedLine("To the minimum", Decimal(1), missing, 0, missing)
