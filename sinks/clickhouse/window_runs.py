"""A query's windows in the few numbers that ClickHouse needs: runs of equal lengths, and what the rollup answers."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import NamedTuple

from metering.windows import FIRST_INSTANT, WindowSize, windows_between
from runtime.errors import InvalidInput

LAST_STORED = datetime(2100, 1, 1, tzinfo=UTC)
"""ClickHouse's DateTime ends in 2106; nothing is accepted from so far ahead."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE_US = 60_000_000
_QUARTER_US = 15 * _MINUTE_US


class Span(NamedTuple):
    """[start, end) in µs since 1970; empty where they are equal."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class WindowRuns:
    """Windows that cover [bounds[0], bounds[-1]) without a gap.

    A run is a stretch of windows of one length: it starts at `starts_us`, and `lengths_us` is theirs.
    """

    bounds_us: list[int]
    starts_us: list[int]
    lengths_us: list[int]

    def window(self, start_us: int) -> tuple[datetime, datetime]:
        """Return the window that starts at an instant."""
        place = bisect_right(self.bounds_us, start_us) - 1
        return _instant(self.bounds_us[place]), _instant(self.bounds_us[place + 1])

    @property
    def atom_us(self) -> int:
        """How finely values must be told apart in time: by minutes, unless a window cuts one."""
        return _MINUTE_US if all(bound % _MINUTE_US == 0 for bound in self.bounds_us) else 1

    def parts(self) -> tuple[Span, Span, Span]:
        """Return what whole quarter hours answer, and what is left before and after them."""
        first, last = self.bounds_us[0], self.bounds_us[-1]
        whole = Span(-(-first // _QUARTER_US) * _QUARTER_US, last // _QUARTER_US * _QUARTER_US)
        if whole.start_us >= whole.end_us or any(bound % _QUARTER_US for bound in self.bounds_us[1:-1]):
            return Span(0, 0), Span(first, last), Span(last, last)
        return whole, Span(first, whole.start_us), Span(whole.end_us, last)


def cut_windows(
    from_at: datetime, to_at: datetime, size: WindowSize | None, zone: tzinfo, *, max_windows: int
) -> WindowRuns:
    """Return the windows of [from_at, to_at), the first and last cut to it; one window without a size.

    Raises: InvalidInput for an empty interval, or one of more windows than `max_windows`.
    """
    if not FIRST_INSTANT <= from_at < to_at <= LAST_STORED:
        raise InvalidInput("`from` must be before `to`, and both between 1970 and 2099.", field="from")
    bounds = [micros(from_at)]
    if size is not None:
        for window in windows_between(from_at, to_at, size, zone):
            if len(bounds) > max_windows:
                raise InvalidInput(
                    f"The interval has more than {max_windows} windows: ask for a shorter time or larger windows.",
                    field="window_size",
                    limit=max_windows,
                )
            bounds.append(min(micros(window.end), micros(to_at)))
    else:
        bounds.append(micros(to_at))
    return _runs(bounds)


def _runs(bounds_us: list[int]) -> WindowRuns:
    starts: list[int] = []
    lengths: list[int] = []
    for start, end in pairwise(bounds_us):
        if not lengths or lengths[-1] != end - start:
            starts.append(start)
            lengths.append(end - start)
    return WindowRuns(bounds_us, starts, lengths)


def micros(instant: datetime) -> int:
    """Return the µs since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def _instant(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND
