"""What is bought of a plan: its prices of one interval in one currency, and how many of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from billing.periods import Cycle
from billing.plans import Plan
from billing.prices import Price
from billing.rates import PriceKind
from runtime.errors import BusinessLogicError

MAX_BOUGHT: Final = 1_000_000
"""Of anything at once; more is a slip of the keyboard, or a contract of its own."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A price and its quantity; None: it is metered."""

    price: Price
    quantity: int | None


def bought_prices(plan: Plan, cycle: Cycle, currency: str, quantity: int) -> tuple[Bought, ...]:
    """Return what a subscription to a plan holds; the quantity is that of its seats or units, never of flat prices.

    Raises: BusinessLogicError with QUANTITY_OUT_OF_RANGE, QUANTITY_NOT_OFFERED, INTERVAL_NOT_OFFERED or
    CURRENCY_NOT_OFFERED.
    """
    if not 1 <= quantity <= MAX_BOUGHT:
        raise BusinessLogicError(
            f"A quantity of {quantity} cannot be bought: write 1 to {MAX_BOUGHT:,}.",
            code="QUANTITY_OUT_OF_RANGE",
            field="quantity",
            least=1,
            most=MAX_BOUGHT,
        )
    of_cycle = [price for price in plan.prices if price.cycle == cycle]
    if not of_cycle:
        cycles = list(dict.fromkeys(price.cycle for price in plan.prices))
        raise BusinessLogicError(
            f"The plan {plan.slug} is not sold by the {cycle}: choose {' or '.join(map(str, cycles))}.",
            code="INTERVAL_NOT_OFFERED",
            field="interval",
            offered=[{"interval": each.interval, "interval_count": each.count} for each in cycles],
        )
    prices = plan.prices_for(cycle, currency)
    if not prices:
        offered = list(dict.fromkeys(code for price in of_cycle for code in price.rates))
        raise BusinessLogicError(
            f"The plan {plan.slug} is not sold in {currency}: choose {' or '.join(offered)}.",
            code="CURRENCY_NOT_OFFERED",
            field="currency",
            offered=offered,
        )
    bought = tuple(Bought(price, _quantity(price, quantity)) for price in prices)
    if quantity > 1 and not any(each.quantity == quantity for each in bought):
        raise BusinessLogicError(
            f"The plan {plan.slug} has no price by quantity: leave the quantity out, or write 1.",
            code="QUANTITY_NOT_OFFERED",
            field="quantity",
        )
    return bought


def default_cycle(plan: Plan, currency: str, held: Cycle) -> Cycle:
    """Return the interval that a change to a plan means when it names none: the one held, else the plan's only one."""
    offered = list(dict.fromkeys(price.cycle for price in plan.prices if currency in price.rates))
    return offered[0] if len(offered) == 1 else held


def kept_quantity(plan: Plan, cycle: Cycle, currency: str, held: int) -> int:
    """Return the quantity that a change to a plan means when it names none: the one held, if the plan has any."""
    by_quantity = any(_quantity(price, 2) == 2 for price in plan.prices_for(cycle, currency))
    return held if by_quantity else 1


def _quantity(price: Price, quantity: int) -> int | None:
    if price.metered is not None:
        return None
    return 1 if price.kind is PriceKind.FLAT else quantity
