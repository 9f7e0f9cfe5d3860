"""What a meter reads from an event."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from metering.exact_json import DUPLICATE, UnreadableNumber, loads
from metering.meters import Meter
from metering.readings import Reading, read_meter, unique_hash
from metering.rejections import Code, MeterSkip
from tests.unit.metering.builders import meter

HUGE = UnreadableNumber("1e999999999999999999999")


def read(built: Meter, data: str) -> Reading | MeterSkip | None:
    return read_meter(built, loads(data.encode()))


def code(built: Meter, data: dict[str, Any]) -> Code:
    skip = read_meter(built, data)
    assert isinstance(skip, MeterSkip), skip
    return skip.code


@pytest.mark.parametrize("aggregation", ["SUM", "AVG", "MIN", "MAX", "LATEST"])
@pytest.mark.parametrize(("value", "quantity"), [("1.50", "1.5"), ('"0.1"', "0.1"), ("-0.0", "0"), ("1e2", "100")])
def test_quantities(aggregation: str, value: str, quantity: str) -> None:
    assert read(meter(aggregation), f'{{"tokens":{value}}}') == Reading(Decimal(quantity), None, ())


@pytest.mark.parametrize(
    "value", [True, "", "x", " 1", "NaN", [], {}, Decimal("1e15"), Decimal("1e-19"), HUGE, DUPLICATE]
)
def test_what_is_no_quantity_is_skipped(value: Any) -> None:
    assert code(meter(), {"tokens": value}) is Code.METER_VALUE_INVALID


@pytest.mark.parametrize("aggregation", ["SUM", "UNIQUE_COUNT", "LATEST"])
@pytest.mark.parametrize("data", [{}, {"tokens": None}, {"token": 1}])
def test_a_missing_value_is_skipped(aggregation: str, data: dict[str, Any]) -> None:
    assert code(meter(aggregation), data) is Code.METER_VALUE_MISSING


def test_count_reads_no_value() -> None:
    assert read(meter("COUNT"), "{}") == Reading(None, None, ())


@pytest.mark.parametrize(
    ("value", "text"),
    [('"a"', "a"), ('""', ""), ("5.0", "5"), ('"5"', "5"), ("true", "true"), ('"ü"', "ü"), ('"5.0"', "5.0")],
)
def test_unique_values_are_text(value: str, text: str) -> None:
    assert read(meter("UNIQUE_COUNT"), f'{{"tokens":{value}}}') == Reading(None, text, ())
    assert len(unique_hash(text)) == 16


@pytest.mark.parametrize("value", ["x" * 1025, "\x00", "\ud800", [], {}, Decimal("1e15"), HUGE, DUPLICATE])
def test_what_is_no_plain_text_is_skipped(value: Any) -> None:
    assert code(meter("UNIQUE_COUNT"), {"tokens": value}) is Code.METER_VALUE_INVALID
    grouped = meter("COUNT", group_by={"g": "$.tokens"})
    assert code(grouped, {"tokens": value}) is Code.METER_GROUP_INVALID


def test_groups_come_in_the_order_of_their_names() -> None:
    grouped = meter("COUNT", group_by={"z": "$.z", "a": "$.a", "m": "$.m", "b": "$.b"})
    assert read(grouped, '{"z":1.0,"a":"x","m":null,"b":false}') == Reading(None, None, ("x", "false", "", "1"))
    assert code(grouped, {"z": "x" * 257}) is Code.METER_GROUP_INVALID


@pytest.mark.parametrize(
    ("operator", "value", "passing", "failing"),
    [
        ("eq", "a", ['"a"'], ['"b"', "null", '["a"]', '{"a":1}', '"A"']),
        ("eq", 5, ["5", "5.0", "50e-1"], ['"5"', "true", "5.0000000000000000000000000000000001"]),
        ("eq", True, ["true"], ["1", '"true"', "false"]),
        ("ne", "a", ['"b"', "null", "1", "[]"], ['"a"']),
        ("in", ["a", 1], ['"a"', "1.0"], ['"1"', "true", "null"]),
        ("nin", ["a", 1], ['"1"', "true", "null"], ['"a"', "1"]),
        ("gt", 5, ["5.000000000000000001", "1e40"], ["5", '"6"', "null", "true"]),
        ("gte", 5, ["5", "6"], ["4", '"5"', "1e-999999999999999999999"]),
        ("lt", Decimal("0.3"), ["0.29999999999999999999", "-1e40"], ["0.3", '"0"', "null"]),
        ("lte", Decimal("0.3"), ["0.3"], ["0.30000000000000000001", "[]"]),
        ("exists", True, ["0", '""', "false", "{}", "1e999999999999999999999"], ["null"]),
        ("exists", False, ["null"], ["0"]),
    ],
)
def test_filters(operator: str, value: Any, passing: list[str], failing: list[str]) -> None:
    filtered = meter("COUNT", filters=[{"property": "$.p", "operator": operator, "value": value}])
    for text in passing:
        assert isinstance(read(filtered, f'{{"p":{text}}}'), Reading), text
    for text in failing:
        assert read(filtered, f'{{"p":{text}}}') is None, text
    assert read(filtered, "{}") == read(filtered, '{"p":null}')


def test_all_filters_must_hold_and_come_before_the_value() -> None:
    filters = [
        {"property": "$.a", "operator": "eq", "value": 1},
        {"property": "$.b", "operator": "eq", "value": 2},
    ]
    filtered = meter(filters=filters)
    assert read(filtered, '{"a":1,"b":2,"tokens":3}') == Reading(Decimal(3), None, ())
    assert read(filtered, '{"a":1,"b":3,"tokens":"broken"}') is None
    assert code(filtered, {"a": Decimal(1), "b": Decimal(2), "tokens": "broken"}) is Code.METER_VALUE_INVALID
    assert code(filtered, {"a": DUPLICATE, "tokens": Decimal(1)}) is Code.METER_FILTER_INVALID
    assert read(filtered, '{"a":0,"b":1,"b":1}') is None
