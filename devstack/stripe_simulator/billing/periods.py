"""Billing periods: steps of an interval from the billing cycle anchor, in UTC.

docs.stripe.com/billing/subscriptions/billing-cycle: "A monthly subscription with a billing cycle anchor date of
January 31 bills the last day of the month closest to the anchor date, so February 28 (or February 29 in a leap
year)".
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from devstack.stripe_simulator.failures import Obj

DAY = 86_400
_FIXED_S = {"day": DAY, "week": 7 * DAY}
_MONTHS = {"month": 1, "year": 12}


def step(anchor: int, recurring: Obj, count: int) -> int:
    """Return the instant `count` intervals after the anchor (before, where negative)."""
    interval, size = recurring["interval"], int(recurring["interval_count"]) * count
    if interval in _FIXED_S:
        return anchor + size * _FIXED_S[interval]
    start = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + size * _MONTHS[interval], 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def containing(anchor: int, recurring: Obj, at: int) -> tuple[int, int]:
    """Return the period [start, end) of the anchor's grid in which `at` lies, also before the anchor."""
    count = (at - anchor) // step(0, recurring, 1)  # near it: months differ in length
    while step(anchor, recurring, count) > at:
        count -= 1
    while step(anchor, recurring, count + 1) <= at:
        count += 1
    return step(anchor, recurring, count), step(anchor, recurring, count + 1)
