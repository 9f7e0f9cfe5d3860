"""Windows partition time, in every zone, whatever its clock does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.windows import (
    FIRST_INSTANT,
    LAST_INSTANT,
    Window,
    WindowSize,
    load_zone,
    window_at,
    window_start,
    windows_between,
)
from runtime.errors import InvalidInput

ZONES = sorted(available_timezones())
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

instants = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
recent = st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def check_partition(instant: datetime, size: WindowSize, zone: ZoneInfo) -> Window:
    """Hold a window against what makes windows a partition, and return it."""
    window = window_at(instant, size, zone)
    assert window.start <= instant < window.end
    assert window.start.tzinfo is UTC
    assert (window.start.microsecond, window.end.microsecond) == (0, 0)
    assert window_at(max(window.start, FIRST_INSTANT), size, zone) == window
    assert window_at(window.end - MICROSECOND, size, zone) == window
    assert window_start(window.end, size, zone) == window.end
    return window


@given(recent | instants, st.sampled_from(WindowSize), st.sampled_from(ZONES))
def test_windows_partition_time(instant: datetime, size: WindowSize, name: str) -> None:
    check_partition(instant, size, ZoneInfo(name))


@given(recent | instants, st.sampled_from(ZONES))
def test_sizes_nest(instant: datetime, name: str) -> None:
    """A minute lies in its hour, the hour in its day, and so on, where none is cut by a change of the clock."""
    zone = ZoneInfo(name)
    minute, hour, day = (
        window_at(instant, size, zone) for size in (WindowSize.MINUTE, WindowSize.HOUR, WindowSize.DAY)
    )
    assert hour.start <= minute.start
    assert minute.end <= hour.end
    for larger in (WindowSize.WEEK, WindowSize.MONTH):
        whole = window_at(instant, larger, zone)
        assert whole.start <= day.start
        assert day.end <= whole.end


@given(recent | instants, st.sampled_from(ZONES))
def test_clock_windows_are_the_clocks(instant: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    for size, longest in ((WindowSize.MINUTE, timedelta(minutes=1)), (WindowSize.HOUR, HOUR)):
        window = window_at(instant, size, zone)
        first, last = window.start.astimezone(zone), (window.end - MICROSECOND).astimezone(zone)
        assert first.utcoffset() == last.utcoffset() == instant.astimezone(zone).utcoffset()
        assert window.end - window.start <= longest
        assert (first.hour, first.day) == (last.hour, last.day)


@given(recent | instants, st.sampled_from(ZONES))
def test_a_day_begins_when_its_date_is_first_shown(instant: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    window = window_at(instant, WindowSize.DAY, zone)
    day = window.start.astimezone(zone).date()
    assert (window.start - MICROSECOND).astimezone(zone).date() < day
    assert window.end.astimezone(zone).date() > day
    assert instant.astimezone(zone).date() in (day, day - DAY)


def changes(zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Return hours in which the zone's offset changes."""
    found = []
    while start < end:
        following = start + timedelta(days=7)
        if start.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            hour = start
            while hour.astimezone(zone).utcoffset() == start.astimezone(zone).utcoffset():
                hour += HOUR
            found.append(hour)
        start = following
    return found


def test_every_change_of_every_zone_in_these_years() -> None:
    checked = 0
    for name in ZONES:
        zone = ZoneInfo(name)
        for hour in changes(zone, utc("2026-01-01"), utc("2028-01-01")):
            for size in (WindowSize.HOUR, WindowSize.DAY):
                windows = list(windows_between(hour - DAY, hour + DAY, size, zone))
                for window in windows:
                    check_partition(window.start, size, zone)
                assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]
                checked += 1
    assert checked > 1000


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", "2026-11-23", "2026-11-23T00:00", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00", 24.5),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00", 23),  # no midnight: 00:00 becomes 01:00
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00", 25),  # 24:00 becomes 23:00
        ("America/Havana", "2026-11-01", "2026-11-01T04:00", 25),  # two midnights: 01:00 becomes 00:00
        ("America/St_Johns", "2006-10-28", "2006-10-28T02:30", 24),  # 00:01 becomes 23:01 of the day before …
        ("America/St_Johns", "2006-10-29", "2006-10-29T02:30", 25),  # … an hour that belongs to the new day
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00", 24),  # no 30 December
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00", 24),
        ("Asia/Kathmandu", "2026-11-23", "2026-11-22T18:15", 24),
        ("Asia/Kathmandu", "1986-01-01", "1985-12-31T18:30", 23.75),
        ("Africa/Monrovia", "1972-01-07", "1972-01-07T00:44:30", 23.258333333333333),
    ],
)
def test_days(zone: str, day: str, start: str, hours: float) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone))
    window = check_partition(noon.astimezone(UTC), WindowSize.DAY, ZoneInfo(zone))
    assert window == Window(utc(start), utc(start) + timedelta(hours=hours))


class LateNightChange(tzinfo):
    """A clock that goes from 23:30 to 00:30 on 10 June 2026. No zone did so since 1970; one may."""

    def utcoffset(self, local: datetime | None) -> timedelta:
        assert local is not None
        plain = local.replace(tzinfo=None)
        skipped = datetime(2026, 6, 10, 23, 30), datetime(2026, 6, 11, 0, 30)  # noqa: DTZ001
        if skipped[0] <= plain < skipped[1]:
            return HOUR if local.fold else timedelta()
        return timedelta() if plain < skipped[0] else HOUR

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, _: datetime | None) -> str:
        return "late"

    def fromutc(self, instant: datetime) -> datetime:
        return instant if instant.replace(tzinfo=UTC) < utc("2026-06-10T23:30") else instant + HOUR


def test_a_midnight_within_a_skipped_hour() -> None:
    windows = windows_between(utc("2026-06-10T23:29"), utc("2026-06-10T23:31"), WindowSize.DAY, LateNightChange())
    assert list(windows) == [
        Window(utc("2026-06-10T00:00"), utc("2026-06-10T23:30")),
        Window(utc("2026-06-10T23:30"), utc("2026-06-11T23:00")),
    ]


def test_a_skipped_day_has_no_window() -> None:
    windows = windows_between(
        utc("2011-12-29T10:00"), utc("2011-12-31T10:00"), WindowSize.DAY, ZoneInfo("Pacific/Apia")
    )
    assert [window.start for window in windows] == [utc("2011-12-29T10:00"), utc("2011-12-30T10:00")]


@pytest.mark.parametrize(
    ("zone", "instant", "expected"),
    [  # minutes of the hours around the change
        ("America/New_York", "2026-11-01T04:30", [60, 60, 60, 60]),  # 00, 01 EDT, 01 EST, 02
        ("America/New_York", "2026-03-08T05:30", [60, 60, 60, 60]),  # 00, 01, 03, 04
        ("Australia/Lord_Howe", "2026-04-04T13:30", [60, 60, 30, 60]),  # 00, 01, from 01:30 again, 02
        ("Australia/Lord_Howe", "2026-10-03T14:00", [60, 60, 30, 60]),  # 00, 01, from 02:30, 03
        ("Asia/Kathmandu", "1985-12-31T17:45", [60, 45, 60, 60]),  # 23, from 00:15, 01, 02
    ],
)
def test_hours(zone: str, instant: str, expected: list[int]) -> None:
    at = utc(instant)
    lengths = []
    for _ in expected:
        window = check_partition(at, WindowSize.HOUR, ZoneInfo(zone))
        lengths.append((window.end - window.start) // timedelta(minutes=1))
        at = window.end
    assert lengths == expected


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    zone = ZoneInfo("Europe/Berlin")
    week = window_at(utc("2026-10-25T22:59:59"), WindowSize.WEEK, zone)
    assert week == Window(utc("2026-10-18T22:00"), utc("2026-10-25T23:00"))
    assert week.end - week.start == timedelta(days=7, hours=1)
    month = window_at(utc("2026-03-31T21:59:59"), WindowSize.MONTH, zone)
    assert month == Window(utc("2026-02-28T23:00"), utc("2026-03-31T22:00"))


@given(st.dates(date(1970, 1, 2), date(2400, 1, 1)))
def test_utc_is_the_plain_calendar(day: date) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    instant = midnight + timedelta(hours=13)
    assert window_at(instant, WindowSize.DAY, UTC) == Window(midnight, midnight + DAY)
    assert window_start(instant, WindowSize.WEEK, UTC) == midnight - day.weekday() * DAY
    assert window_start(instant, WindowSize.MONTH, UTC) == midnight.replace(day=1)
    assert window_at(instant, WindowSize.MONTH, UTC).end.day == 1


def test_windows_between_are_whole_and_cover_the_range() -> None:
    start, end = utc("2026-11-23T10:15"), utc("2026-11-23T12:00")
    windows = list(windows_between(start, end, WindowSize.HOUR, UTC))
    assert windows == [Window(utc(f"2026-11-23T{h}:00"), utc(f"2026-11-23T{h + 1}:00")) for h in (10, 11)]
    assert list(windows_between(end, end, WindowSize.HOUR, UTC)) == []


def test_instants_may_come_in_any_zone() -> None:
    local = datetime(2026, 11, 23, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert window_at(local, WindowSize.HOUR, UTC) == Window(utc("2026-11-23T07:00"), utc("2026-11-23T08:00"))


@pytest.mark.parametrize("instant", [FIRST_INSTANT - MICROSECOND, LAST_INSTANT])
def test_other_centuries_are_refused(instant: datetime) -> None:
    with pytest.raises(InvalidInput):
        window_at(instant, WindowSize.DAY, UTC)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "europe/berlin", "Europe"])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        load_zone(name)
    assert load_zone("Europe/Berlin").key == "Europe/Berlin"
