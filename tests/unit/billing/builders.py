"""Prices for tests: short ways to make them, and Hypothesis strategies for all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.periods import Cycle, Interval
from billing.prices import MeteredBy, Price
from billing.rates import PriceKind, Rate, Tier
from metering.meters import Aggregation

MONTHLY = Cycle(Interval.MONTH)
YEARLY = Cycle(Interval.YEAR)
METERED = MeteredBy("api_calls", Aggregation.SUM)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tiers(*rows: tuple[int | None, int | str] | tuple[int | None, int | str, int]) -> tuple[Tier, ...]:
    """Make tiers of (up_to, unit amount, flat amount)."""
    return tuple(Tier(row[0], Decimal(row[1]), row[2] if len(row) > 2 else 0) for row in rows)


def price(kind: PriceKind, amount: int | str | Sequence[Tier] | Rate, **options: Any) -> Price:
    """Make a monthly price in dollars of a unit amount, tiers or a rate."""
    if isinstance(amount, Rate):
        rate = amount
    elif isinstance(amount, (int, str)):
        rate = Rate(Decimal(amount))
    else:
        rate = Rate(tiers=tuple(amount))
    defaults: dict[str, Any] = {"slug": "test", "kind": kind, "cycle": MONTHLY, "rates": {"usd": rate}}
    return Price(**(defaults | options))


def flat(amount: int, **options: Any) -> Price:
    return price(PriceKind.FLAT, amount, **options)


def per_seat(amount: int, **options: Any) -> Price:
    return price(PriceKind.PER_SEAT, amount, **options)


unit_amounts = st.one_of(
    st.integers(0, 5000).map(Decimal), st.decimals(0, 100, places=12, allow_nan=False), st.just(Decimal(0))
)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Tier, ...]:
    """Tiers without gap or overlap, the last one open."""
    bounds: list[int | None] = [*sorted(draw(st.sets(st.integers(1, 60), max_size=4))), None]
    return tuple(Tier(bound, draw(unit_amounts), draw(st.just(0) | st.integers(0, 3000))) for bound in bounds)


@st.composite
def rates(draw: st.DrawFn, kind: PriceKind) -> Rate:
    """Rates of a kind, bounded now and then where that is allowed."""
    bounded = kind in (PriceKind.PER_SEAT, PriceKind.PER_UNIT, PriceKind.GRADUATED)
    bounds = sorted(draw(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000))))
    minimum = bounds[0] if bounded and draw(st.booleans()) else None
    maximum = bounds[1] if bounded and draw(st.booleans()) else None
    if kind in (PriceKind.GRADUATED, PriceKind.VOLUME):
        return Rate(tiers=draw(schedules()), minimum=minimum, maximum=maximum)
    whole = kind in (PriceKind.FLAT, PriceKind.PER_SEAT)
    amount = draw(st.integers(0, 5000).map(Decimal) if whole else unit_amounts)
    return Rate(amount, minimum=minimum, maximum=maximum)


@st.composite
def prices(draw: st.DrawFn, *, kinds: Sequence[PriceKind] = tuple(PriceKind)) -> Price:
    """Prices of every kind with all that it allows."""
    kind = draw(st.sampled_from(kinds))
    bounded = kind in (PriceKind.PER_SEAT, PriceKind.PER_UNIT, PriceKind.GRADUATED)
    return price(
        kind,
        draw(rates(kind)),
        included_quantity=draw(st.integers(0, 30)) if bounded else 0,
        package_size=draw(st.integers(2, 20)) if kind is PriceKind.PACKAGE else None,
    )
