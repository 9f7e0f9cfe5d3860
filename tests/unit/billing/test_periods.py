"""Periods partition time from any anchor, over month ends, leap days and whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import (
    MAX_INTERVALS,
    Cycle,
    Interval,
    Period,
    add_months,
    cycle_start,
    next_period,
    period_at,
    read_cycle,
    utc_second,
)
from runtime.errors import InvalidInput
from tests.unit.billing.builders import MONTHLY, YEARLY, utc

instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
cycles = st.sampled_from(Interval).flatmap(
    lambda interval: st.builds(Cycle, st.just(interval), st.integers(1, min(MAX_INTERVALS[interval], 40)))
)


def starts(anchor: str, cycle: Cycle, count: int) -> list[str]:
    return [cycle_start(utc(anchor), cycle, number).isoformat(sep=" ")[:16] for number in range(count)]


def test_stripes_example_of_a_month_end() -> None:
    """docs.stripe.com/billing/subscriptions/billing-cycle: January 31 bills February 28 (29), March 31, April 30."""
    assert starts("2026-01-31 10:30", MONTHLY, 5) == [
        "2026-01-31 10:30",
        "2026-02-28 10:30",
        "2026-03-31 10:30",
        "2026-04-30 10:30",
        "2026-05-31 10:30",
    ]
    assert starts("2028-01-31 00:00", MONTHLY, 2)[1] == "2028-02-29 00:00"


def test_a_leap_day_comes_back_every_four_years() -> None:
    assert [start[:10] for start in starts("2024-02-29 00:00", YEARLY, 5)] == [
        "2024-02-29",
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


def test_several_months_are_counted_from_the_anchor() -> None:
    assert [start[:10] for start in starts("2025-11-30 00:00", Cycle(Interval.MONTH, 3), 4)] == [
        "2025-11-30",
        "2026-02-28",
        "2026-05-30",
        "2026-08-30",
    ]


def test_weeks_and_days_are_lengths() -> None:
    assert starts("2026-03-27 23:00", Cycle(Interval.WEEK, 2), 2)[1] == "2026-04-10 23:00"
    assert starts("2026-03-27 23:00", Cycle(Interval.DAY, 10), 2)[1] == "2026-04-06 23:00"


@given(instants, cycles, instants)
def test_periods_partition_time(anchor: datetime, cycle: Cycle, instant: datetime) -> None:
    period = period_at(anchor, cycle, instant)
    second = utc_second(instant)
    assert period.start <= second < period.end
    following = next_period(anchor, cycle, period)
    assert following.start == period.end
    assert following == period_at(anchor, cycle, period.end)
    assert period_at(anchor, cycle, period.end - timedelta(seconds=1)) == period
    assert period_at(anchor, cycle, period.start) == period


@given(instants, cycles, st.integers(-50, 50))
def test_time_of_day_and_anchor_day_are_kept(anchor: datetime, cycle: Cycle, number: int) -> None:
    start = cycle_start(anchor, cycle, number)
    assert start.time() == anchor.replace(microsecond=0).time()
    if cycle.interval in (Interval.MONTH, Interval.YEAR):
        assert start.day == anchor.day or (start.day < anchor.day and (start + timedelta(days=1)).day == 1)


@given(
    instants, st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]), cycles
)
def test_the_zone_in_which_an_anchor_is_written_changes_nothing(anchor: datetime, zone: str, cycle: Cycle) -> None:
    local = anchor.astimezone(ZoneInfo(zone))
    assert [cycle_start(local, cycle, number) for number in range(3)] == [
        cycle_start(anchor, cycle, number) for number in range(3)
    ]


def test_changes_of_the_clock_neither_stretch_nor_shift_a_period() -> None:
    berlin = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))  # the day before clocks go forward
    period = period_at(berlin, Cycle(Interval.DAY), berlin)
    assert period.seconds == 86_400
    assert period.end.astimezone(ZoneInfo("Europe/Berlin")).hour == 13  # 12:00 in UTC+1 is 13:00 in UTC+2
    assert period_at(berlin, MONTHLY, berlin).end == utc("2026-04-28 11:00")


def test_a_first_period_may_end_at_an_anchor_ahead() -> None:
    trial = Period(utc("2026-01-20"), utc("2026-01-31"))
    assert next_period(utc("2026-01-31"), MONTHLY, trial) == Period(utc("2026-01-31"), utc("2026-02-28"))
    assert period_at(utc("2026-01-31"), MONTHLY, utc("2026-01-20")).start == utc("2025-12-31")


def test_seconds_left_stay_within_the_period() -> None:
    period = Period(utc("2026-01-01"), utc("2026-01-02"))
    assert [period.seconds_left(utc(now)) for now in ("2025-12-31", "2026-01-01 18:00", "2026-01-03")] == [
        86_400,
        21_600,
        0,
    ]


def test_instants_are_whole_seconds_of_utc() -> None:
    tokyo = datetime(2026, 1, 1, 9, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=9)))
    assert utc_second(tokyo) == utc("2026-01-01")
    with pytest.raises(InvalidInput, match="end: has no time zone"):
        Period(utc("2026-01-01"), datetime(2026, 1, 2))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="after start"):
        Period(utc("2026-01-01"), utc("2026-01-01"))


@given(instants, st.integers(-500, 500), st.integers(0, 500))
def test_more_months_are_later(instant: datetime, months: int, more: int) -> None:
    assert add_months(instant, months) <= add_months(instant, months + more)


@given(st.sampled_from(Interval), st.integers(1, 3))
def test_a_cycle_is_read_from_its_name(interval: Interval, count: int) -> None:
    cycle = Cycle(interval, count)
    assert read_cycle(str(cycle)) == cycle
    assert str(Cycle(Interval.MONTH)) == "month"
    assert str(Cycle(Interval.MONTH, 3)) == "3 months"
