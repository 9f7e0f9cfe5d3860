"""When subscriptions bill: half-open periods [start, end) in UTC, counted from an anchor.

The anchor gives the time of day and the day; a month that is too short bills on its last day, and later months return
to the anchor's day (docs.stripe.com/billing/subscriptions/billing-cycle: January 31, February 28 or 29, March 31).
Time zones and their clock changes have no influence: a day is 24 hours.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from runtime.errors import InvalidInput


class Interval(StrEnum):
    """The unit in which billing repeats."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


MAX_INTERVALS: Final = {Interval.DAY: 1095, Interval.WEEK: 156, Interval.MONTH: 36, Interval.YEAR: 3}
"""At most three years (docs.stripe.com/api/prices/create, `recurring.interval_count`)."""

_LENGTHS: Final = {Interval.DAY: timedelta(days=1), Interval.WEEK: timedelta(weeks=1)}
_MONTHS: Final = {Interval.MONTH: 1, Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Cycle:
    """Every `count` intervals."""

    interval: Interval
    count: int = 1

    def __post_init__(self) -> None:
        limit = MAX_INTERVALS[self.interval]
        if isinstance(self.count, bool) or not 1 <= self.count <= limit:
            raise InvalidInput(
                f"interval_count: {self.count} is out of range; write 1 to {limit} for {self.interval}",
                field="interval_count",
            )

    def __str__(self) -> str:
        """Return it in words: `month`, `3 months`."""
        return cycle_name(self.interval, self.count)


def cycle_name(interval: str, count: int) -> str:
    """Return how often something is billed, in words: `month`, `3 months`."""
    return interval if count == 1 else f"{count} {interval}s"


def read_cycle(name: str) -> Cycle:
    """Return the cycle that `cycle_name` has named."""
    count, _, interval = name.rpartition(" ")
    return Cycle(Interval(interval.removesuffix("s") if count else interval), int(count or 1))


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time: `start` belongs to it, `end` does not."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc_second(self.start, "start"))
        object.__setattr__(self, "end", utc_second(self.end, "end"))
        if self.end <= self.start:
            raise InvalidInput("end: write an instant after start", field="end")

    @property
    def seconds(self) -> int:
        """Return how long it is."""
        return seconds_between(self.start, self.end)

    def seconds_left(self, now: datetime) -> int:
        """Return the seconds from `now` to the end, within the period."""
        return min(max(seconds_between(utc_second(now), self.end), 0), self.seconds)


def utc_second(instant: datetime, field: str = "now") -> datetime:
    """Return an aware instant in UTC without its fraction of a second. Raises: InvalidInput for a naive one."""
    if instant.utcoffset() is None:
        raise InvalidInput(f"{field}: has no time zone; write an aware one: 2026-01-31T00:00:00Z", field=field)
    return instant.astimezone(UTC).replace(microsecond=0)


def seconds_between(start: datetime, end: datetime) -> int:
    """Return end - start in whole seconds."""
    return (end - start) // timedelta(seconds=1)


def add_months(instant: datetime, months: int) -> datetime:
    """Move by months, to the month's last day where the day does not exist."""
    index = instant.year * 12 + instant.month - 1 + months
    year, month = divmod(index, 12)
    return instant.replace(year=year, month=month + 1, day=min(instant.day, monthrange(year, month + 1)[1]))


def cycle_start(anchor: datetime, cycle: Cycle, number: int) -> datetime:
    """Return when the cycle of that number begins; 0 begins at the anchor, negative ones lie before it."""
    anchor = utc_second(anchor, "anchor")
    if cycle.interval in _LENGTHS:
        return anchor + number * cycle.count * _LENGTHS[cycle.interval]
    return add_months(anchor, number * cycle.count * _MONTHS[cycle.interval])


def period_at(anchor: datetime, cycle: Cycle, instant: datetime) -> Period:
    """Return the period that holds an instant."""
    anchor, instant = utc_second(anchor, "anchor"), utc_second(instant, "instant")
    number = _number_at(anchor, cycle, instant)
    if cycle_start(anchor, cycle, number) > instant:  # the anchor's day or time comes later in that month
        number -= 1
    return Period(cycle_start(anchor, cycle, number), cycle_start(anchor, cycle, number + 1))


def next_period(anchor: datetime, cycle: Cycle, period: Period) -> Period:
    """Return the period that follows, aligned to the anchor."""
    return Period(period.end, period_at(anchor, cycle, period.end).end)


def _number_at(anchor: datetime, cycle: Cycle, instant: datetime) -> int:
    if cycle.interval in _LENGTHS:
        return (instant - anchor) // (cycle.count * _LENGTHS[cycle.interval])
    months = (instant.year - anchor.year) * 12 + instant.month - anchor.month
    return months // (cycle.count * _MONTHS[cycle.interval])
