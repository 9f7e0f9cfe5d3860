"""Month ends, leap days and daylight saving, on the anchor's grid."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.stripe_simulator.billing.periods import containing, step
from devstack.stripe_simulator.failures import Obj


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def every(interval: str, count: int = 1) -> Obj:
    return {"interval": interval, "interval_count": count}


@pytest.mark.parametrize(
    ("anchor", "recurring", "expected"),
    [
        ("2026-01-31T10:30:05", every("month"), ["2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2028-01-31T10:30:05", every("month"), ["2028-02-29", "2028-03-31", "2028-04-30"]),
        ("2028-02-29T10:30:05", every("year"), ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        ("2026-11-30T10:30:05", every("month", 3), ["2027-02-28", "2027-05-30"]),
        ("2026-03-28T10:30:05", every("day"), ["2026-03-29", "2026-03-30"]),
        ("2026-10-23T10:30:05", every("week"), ["2026-10-30", "2026-11-06"]),
        ("2026-12-31T10:30:05", every("month"), ["2027-01-31", "2027-02-28"]),
    ],
)
def test_steps_keep_day_and_time_of_day(anchor: str, recurring: Obj, expected: list[str]) -> None:
    steps = [step(at(anchor), recurring, count) for count in range(1, len(expected) + 1)]
    assert steps == [at(f"{day}T10:30:05") for day in expected]


@given(
    anchor=st.integers(at("2020-01-01"), at("2032-12-31")),
    offset=st.integers(-3 * 365 * 86_400, 3 * 365 * 86_400),
    interval=st.sampled_from(["day", "week", "month", "year"]),
    count=st.integers(1, 12),
)
def test_the_period_holds_the_instant_and_starts_on_the_grid(
    anchor: int, offset: int, interval: str, count: int
) -> None:
    recurring = every(interval, count)
    start, end = containing(anchor, recurring, anchor + offset)
    assert start <= anchor + offset < end
    assert containing(anchor, recurring, end)[0] == end
    assert containing(anchor, recurring, start - 1)[1] == start
