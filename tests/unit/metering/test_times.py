"""RFC 3339 in all its forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.times import InvalidTime, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:11:12Z", _us(2026, 11, 23, 10, 11, 12)),
        ("2026-11-23t10:11:12z", _us(2026, 11, 23, 10, 11, 12)),
        ("2026-11-23 10:11:12.5Z", _us(2026, 11, 23, 10, 11, 12, 500_000)),
        ("2026-11-23T10:11:12.123456789012Z", _us(2026, 11, 23, 10, 11, 12, 123_456)),
        ("2026-11-23T10:11:12.0000009Z", _us(2026, 11, 23, 10, 11, 12)),
        ("2026-11-23T10:11:12+05:45", _us(2026, 11, 23, 4, 26, 12)),
        ("2026-11-23T10:11:12-00:00", _us(2026, 11, 23, 10, 11, 12)),
        ("2026-12-31T23:59:60Z", _us(2027, 1, 1)),
        ("2026-12-31T18:59:60.25-05:00", _us(2027, 1, 1, 0, 0, 0, 250_000)),
        ("2024-02-29T00:00:00Z", _us(2024, 2, 29)),
    ],
)
def test_reads(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T10:11Z",
        "2026-11-23T10:11:12",
        "2026-11-23T10:11:12.Z",
        "2026-11-23T10:11:12+0545",
        "2026-11-23T10:11:12+24:00",
        "2026-11-23T10:11:12+05:60",
        "2026-11-23T24:00:00Z",
        "2026-11-23T10:60:00Z",
        "2026-11-23T10:11:61Z",
        "2026-11-23T10:11:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T10:11:12Z\n",
        " 2026-11-23T10:11:12Z",
        "2026-11-23T10:11:1٢Z",
        "1764000000",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidTime):
        parse_time(text)


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-(24 * 60 - 1), 24 * 60 - 1),
)
def test_agrees_with_datetime(naive: datetime, offset_minutes: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert parse_time(instant.isoformat()) == (instant - EPOCH) // timedelta(microseconds=1)
