"""Subscriptions for tests: a month of April with its items, and Hypothesis strategies for any."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.discounts import Coupon, Discount, Duration
from billing.periods import Cycle, Interval, Period, period_at
from billing.prices import Price
from billing.rates import PriceKind
from billing.subscribed import Item, SubscriptionState
from tests.unit.billing.builders import METERED, MONTHLY, YEARLY, flat, price, prices, utc

APRIL = Period(utc("2026-04-01"), utc("2026-05-01"))
HALFWAY = utc("2026-04-16")
TEN, TWENTY = flat(1000, slug="ten"), flat(2000, slug="twenty")
CALLS = price(PriceKind.PER_UNIT, 2, slug="calls", metered=METERED)


def state(*items: Item, period: Period = APRIL, **options: Any) -> SubscriptionState:
    return SubscriptionState(currency="usd", items=items, period=period, anchor=period.start, **options)


def item(of: Price, key: str = "a", **options: Any) -> Item:
    return Item(id=key, price=of, **options)


anchors = st.datetimes(datetime(2023, 1, 1), datetime(2029, 1, 1)).map(lambda at: utc(at.isoformat()))  # noqa: DTZ001
cycles = st.sampled_from([MONTHLY, YEARLY, Cycle(Interval.WEEK), Cycle(Interval.DAY), Cycle(Interval.MONTH, 3)])
licensed = prices().flatmap(
    lambda of: st.tuples(st.just(of), st.just(1) if of.kind is PriceKind.FLAT else st.integers(0, 40))
)
coupons = st.lists(
    st.integers(1, 100).map(lambda off: Coupon(code="P", percent_off=Decimal(off), duration=Duration.FOREVER))
    | st.integers(1, 9000).map(lambda off: Coupon(code="A", amounts_off={"usd": off}, duration=Duration.FOREVER)),
    max_size=2,
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[SubscriptionState, datetime]:
    """A subscription with discounts, at any second of a period that may end on a short month or a leap day."""
    cycle, anchor = draw(cycles), draw(anchors)
    period = period_at(anchor, cycle, anchor)
    kinds = draw(st.lists(licensed, min_size=1, max_size=3))
    items = tuple(
        item(replace(of, cycle=cycle), f"i{index}", quantity=count) for index, (of, count) in enumerate(kinds)
    )
    discounts = tuple(Discount(coupon, period.start) for coupon in draw(coupons))
    now = period.start + timedelta(seconds=draw(st.integers(0, period.seconds - 1)))
    return state(*items, period=period, discounts=discounts), now
