"""Windows of time: half-open [start, end) in UTC, cut along the clock and calendar of a zone.

- MINUTE and HOUR follow the zone's clock while its offset holds, and are cut where the offset changes: an hour that the
  clock repeats is two windows, one that it skips is none, and a change by 30 minutes makes a half one.
- DAY, WEEK (from Monday) and MONTH begin when the zone's clock first shows the first moment of their first day that
  exists: after a skipped midnight where the clock goes on, at the first of two midnights. A skipped day has no window.

In every zone the windows of a size partition time, from 1970 on; earlier offsets had odd seconds and help nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from runtime.errors import InvalidInput

FIRST_INSTANT: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_INSTANT: Final = datetime(2999, 12, 31, tzinfo=UTC)

_SECOND = timedelta(seconds=1)
_ONE_DAY = timedelta(days=1)


class WindowSize(StrEnum):
    """How long a window is."""

    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time: `start` belongs to it, `end` does not; both in UTC."""

    start: datetime
    end: datetime


def load_zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that name. Raises: InvalidInput."""
    if name not in _zone_names():
        raise InvalidInput(f"{name[:64]!r} is no IANA time zone; write UTC or Europe/Berlin", field="window_time_zone")
    return ZoneInfo(name)


def window_at(instant: datetime, size: WindowSize, zone: tzinfo) -> Window:
    """Return the window that holds an instant (aware). Raises: InvalidInput for years before 1970 or after 2999."""
    if not FIRST_INSTANT <= instant < LAST_INSTANT:
        raise InvalidInput("windows reach from 1970 to 2999", field="time")
    instant = instant.astimezone(UTC)
    if size is WindowSize.MINUTE:
        return _clock_window(instant, 60, zone)
    if size is WindowSize.HOUR:
        return _clock_window(instant, 3600, zone)
    return _calendar_window(instant, _FLOORS[size], zone)


def window_start(instant: datetime, size: WindowSize, zone: tzinfo) -> datetime:
    """Return the start of the window that holds an instant."""
    return window_at(instant, size, zone).start


def windows_between(start: datetime, end: datetime, size: WindowSize, zone: tzinfo) -> Iterator[Window]:
    """Yield the windows that share time with [start, end), whole and in order."""
    while start < end:
        window = window_at(start, size, zone)
        yield window
        start = window.end


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the second at which the offset becomes that of `after`, which differs from that of `before`."""
    new = _offset(after, zone)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == new:
            after = middle
        else:
            before = middle
    return after


def _clock_window(instant: datetime, length_s: int, zone: tzinfo) -> Window:
    offset, length = _offset(instant, zone), timedelta(seconds=length_s)
    start = instant - (instant - FIRST_INSTANT + offset) % length
    end = start + length
    if _offset(start, zone) != offset:
        start = _change(start, instant.replace(microsecond=0), zone)
    if _offset(end - _SECOND, zone) != offset:
        end = _change(instant.replace(microsecond=0), end - _SECOND, zone)
    return Window(start, end)


def _calendar_window(instant: datetime, floor: Callable[[date], date], zone: tzinfo) -> Window:
    first = floor(instant.astimezone(zone).date())
    following = _following(first, floor)
    # A clock set back over midnight shows yesterday's date again; a skipped day would be an empty window.
    while _day_start(following, zone) <= instant:
        first, following = following, _following(following, floor)
    return Window(_day_start(first, zone), _day_start(following, zone))


def _following(first: date, floor: Callable[[date], date]) -> date:
    """Return the first day of the next period: periods have 1, 7 or up to 31 days."""
    day = first + _ONE_DAY
    while floor(day) == first:
        day += _ONE_DAY
    return day


@lru_cache(maxsize=4096)
def _day_start(day: date, zone: tzinfo) -> datetime:
    midnight = datetime.combine(day, time(), zone)
    before, after = midnight.utcoffset(), midnight.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    naive = datetime.combine(day, time(), UTC)
    if before < after:  # the clock skips this midnight
        return _change(naive - after, naive - before, zone)
    return naive - before


_FLOORS: Final[dict[WindowSize, Callable[[date], date]]] = {
    WindowSize.DAY: lambda day: day,
    WindowSize.WEEK: lambda day: day - timedelta(days=day.weekday()),
    WindowSize.MONTH: lambda day: day.replace(day=1),
}
