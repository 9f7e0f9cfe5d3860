"""Windows as runs: nothing is lost on the way to ClickHouse, and the rollup is asked for whole quarter hours only."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.windows import WindowSize, load_zone, window_at
from runtime.errors import InvalidInput
from sinks.clickhouse.window_runs import WindowRuns, cut_windows, micros

QUARTER_US = 900_000_000
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Monrovia", "America/Caracas"]
instants = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2040, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip


def start_of(runs: WindowRuns, at_us: int) -> int:
    """Do what `query_meter` does in SQL."""
    place = bisect_right(runs.starts_us, at_us) - 1
    run_us, length_us = runs.starts_us[place], runs.lengths_us[place]
    return run_us + (at_us - run_us) // length_us * length_us


@given(start=instants, hours=st.integers(1, 200), share=st.floats(0, 1, exclude_max=True), data=st.data())
def test_an_instant_falls_into_the_window_that_the_domain_says(
    start: datetime, hours: int, share: float, data: st.DataObject
) -> None:
    size = data.draw(st.sampled_from([WindowSize.HOUR, WindowSize.DAY, WindowSize.WEEK, WindowSize.MONTH]))
    zone = load_zone(data.draw(st.sampled_from(ZONES)))
    end = start + timedelta(hours=hours)
    runs = cut_windows(start, end, size, zone, max_windows=1_000)
    at = min(start + (end - start) * share, end - timedelta(microseconds=1))
    found = runs.window(start_of(runs, micros(at)))
    window = window_at(at, size, zone)
    assert found == (max(window.start, start), min(window.end, end))


@given(start=instants, seconds=st.integers(1, 400_000), data=st.data())
def test_the_parts_are_the_whole_and_no_window_cuts_the_rollups(
    start: datetime, seconds: int, data: st.DataObject
) -> None:
    size = data.draw(st.sampled_from([None, WindowSize.HOUR, WindowSize.DAY]))
    zone = load_zone(data.draw(st.sampled_from(ZONES)))
    runs = cut_windows(start, start + timedelta(seconds=seconds), size, zone, max_windows=1_000)
    quarters, head, tail = runs.parts()
    stretches = [part for part in (head, quarters, tail) if part.start_us < part.end_us]
    assert [stretches[0].start_us, stretches[-1].end_us] == [runs.bounds_us[0], runs.bounds_us[-1]]
    assert all(a.end_us == b.start_us for a, b in itertools.pairwise(stretches))
    assert quarters.start_us % QUARTER_US == quarters.end_us % QUARTER_US == 0
    inside = [bound for bound in runs.bounds_us if quarters.start_us < bound < quarters.end_us]
    assert all(bound % QUARTER_US == 0 for bound in inside)
    assert all(bound % runs.atom_us == 0 for bound in runs.bounds_us)


def test_a_month_of_minutes_is_one_run() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    runs = cut_windows(start, start + timedelta(days=30), WindowSize.MINUTE, UTC, max_windows=50_000)
    assert (len(runs.bounds_us), len(runs.starts_us), runs.lengths_us) == (43_201, 1, [60_000_000])


@pytest.mark.parametrize(("days", "reason"), [(0, "before"), (-1, "before"), (40_000, "between 1970 and 2099")])
def test_an_interval_that_makes_no_sense_is_refused(days: int, reason: str) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match=reason):
        cut_windows(start, start + timedelta(days=days), None, UTC, max_windows=10)


def test_too_many_windows_are_refused() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert len(cut_windows(start, start + timedelta(hours=10), WindowSize.HOUR, UTC, max_windows=10).bounds_us) == 11
    with pytest.raises(InvalidInput, match="more than 10 windows"):
        cut_windows(start, start + timedelta(hours=11), WindowSize.HOUR, UTC, max_windows=10)
