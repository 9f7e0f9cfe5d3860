"""Aggregates: exact, and the same in any order and grouping."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.meters import Aggregation
from metering.numbers import parse_quantity
from metering.readings import Reading
from metering.totals import Partial, Place, average, combine

quantities = st.decimals(-(10**14), 10**14, places=18).map(parse_quantity)
readings = st.lists(st.tuples(quantities, st.integers(0, 3)), max_size=20)  # value, and few times so that they tie


def reading(aggregation: Aggregation, value: Decimal) -> Reading:
    if aggregation is Aggregation.COUNT:
        return Reading(None, None, ())
    if aggregation is Aggregation.UNIQUE_COUNT:
        return Reading(None, str(int(value) % 5), ())
    return Reading(value, None, ())


def part(aggregation: Aggregation, events: list[tuple[int, Decimal, int]]) -> Partial:
    partial = Partial(aggregation)
    for offset, value, time_us in events:
        partial.add(reading(aggregation, value), Place(time_us, 0, offset))
    return partial


@pytest.mark.parametrize("aggregation", Aggregation)
@given(readings, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_grouping_gives_the_same(
    aggregation: Aggregation, values: list[tuple[Decimal, int]], random: object, groups: int
) -> None:
    events = [(offset, value, time_us) for offset, (value, time_us) in enumerate(values)]
    straight = part(aggregation, events)
    random.shuffle(events)  # type: ignore[attr-defined]
    parts = [part(aggregation, events[i::groups]) for i in range(groups)]
    assert combine(aggregation, parts) == straight
    assert combine(aggregation, reversed(parts)).value() == straight.value()


@given(st.lists(quantities, min_size=1, max_size=20))
def test_values_against_fractions(values: list[Decimal]) -> None:
    events = [(i, value, i) for i, value in enumerate(values)]
    fractions = [Fraction(value) for value in values]

    def value(aggregation: Aggregation) -> Fraction:
        result = part(aggregation, events).value()
        assert result is not None
        return Fraction(result)

    assert value(Aggregation.SUM) == sum(fractions)
    assert value(Aggregation.COUNT) == len(values)
    assert value(Aggregation.MIN) == min(fractions)
    assert value(Aggregation.MAX) == max(fractions)
    assert value(Aggregation.LATEST) == fractions[-1]
    assert value(Aggregation.UNIQUE_COUNT) == len({int(v) % 5 for v in values})
    assert value(Aggregation.AVG) == Fraction(round(sum(fractions) / len(values) * 10**18), 10**18)


@pytest.mark.parametrize(
    ("total", "events", "expected"),
    [
        ("1", 3, "0.333333333333333333"),
        ("2", 3, "0.666666666666666667"),
        ("-2", 3, "-0.666666666666666667"),
        ("0.000000000000000001", 2, "0"),
        ("0.000000000000000003", 2, "0.000000000000000002"),
        ("-0.000000000000000001", 2, "0"),
        ("-0.000000000000000003", 2, "-0.000000000000000002"),
        ("999999999999999.999999999999999999", 1, "999999999999999.999999999999999999"),
    ],
)
def test_an_average_is_rounded_once_half_even(total: str, events: int, expected: str) -> None:
    assert average(Decimal(total), events) == Decimal(expected)


def test_latest_is_by_time_then_partition_then_offset() -> None:
    total = Partial(Aggregation.LATEST)
    for value, place in [(1, Place(5, 0, 9)), (2, Place(7, 0, 1)), (3, Place(7, 1, 0)), (4, Place(7, 0, 8))]:
        total.add(Reading(Decimal(value), None, ()), place)
    assert total.value() == 3


def test_nothing_comes_to_nothing() -> None:
    values = {aggregation: Partial(aggregation).value() for aggregation in Aggregation}
    assert values == {
        Aggregation.SUM: 0,
        Aggregation.COUNT: 0,
        Aggregation.UNIQUE_COUNT: 0,
        Aggregation.AVG: None,
        Aggregation.MIN: None,
        Aggregation.MAX: None,
        Aggregation.LATEST: None,
    }


def test_combining_leaves_the_parts_alone() -> None:
    parts = [part(Aggregation.UNIQUE_COUNT, [(0, Decimal(i), 0)]) for i in (1, 2)]
    combine(Aggregation.UNIQUE_COUNT, parts)
    assert [one.value() for one in parts] == [1, 1]
