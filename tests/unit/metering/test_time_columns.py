"""Times in columns are those of `times.parse_time`, or left to it."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from metering.time_columns import parse_times
from metering.times import InvalidTime, parse_time
from tests.unit.metering.hostile import TIMES

COMMON = st.builds(
    lambda at, digits: at.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{digits}Z" if digits else "Z"),
    st.datetimes(min_value=datetime(1, 1, 1)),  # noqa: DTZ001
    st.text("0123456789", max_size=9),
)
CHANGED = st.builds(
    lambda text, at, char: text[: at % len(text)] + char + text[at % len(text) + 1 :],
    COMMON,
    st.integers(0, 40),
    st.sampled_from([*"0123456789-:TZtz+. /,", "é"]),
)


def exactly(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except InvalidTime:
        return None


@given(texts=st.lists(st.one_of(st.none(), COMMON, CHANGED, st.sampled_from(["", "x" * 20, "٢" * 20])), max_size=20))
def test_reads_only_what_the_exact_rule_reads_and_alike(texts: list[str | None]) -> None:
    times_us, parsed = parse_times(pa.array(texts, pa.string()))
    for text, time_us, is_parsed in zip(texts, times_us.tolist(), parsed.tolist(), strict=True):
        if is_parsed:
            assert exactly(text) == time_us
        else:
            assert time_us == 0


@given(texts=st.lists(COMMON, min_size=1, max_size=20), start=st.integers(0, 5))
def test_reads_every_common_time(texts: list[str], start: int) -> None:
    column = pa.array(texts, pa.string()).slice(start)
    times_us, parsed = parse_times(column)
    assert parsed.all()
    assert times_us.tolist() == [parse_time(text) for text in texts[start:]]


def test_leaves_odd_times_to_the_exact_rule() -> None:
    texts = [time.decode().strip('"') for time in TIMES]
    times_us, parsed = parse_times(pa.array(texts, pa.string()))
    assert parsed.sum() >= 8
    assert all(exactly(text) == time for text, time, ok in zip(texts, times_us.tolist(), parsed, strict=True) if ok)


def test_knows_leap_days() -> None:
    years = [1600, 1900, 2000, 2023, 2024, 2100]
    _, parsed = parse_times(pa.array([f"{year}-02-29T00:00:00Z" for year in years]))
    assert parsed.tolist() == [True, False, True, False, True, False]
    assert parse_times(pa.array(["1970-01-01T00:00:00Z"]))[0].tolist() == [0]
    assert parse_times(pa.array(["1969-12-31T23:59:59.9Z"]))[0].tolist() == [-100_000]
    expected = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()) * 1_000_000
    assert parse_times(pa.array(["2026-11-23T10:00:00Z"]))[0].tolist() == [expected]
