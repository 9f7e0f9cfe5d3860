"""Meters that cannot work are refused, and told why."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from metering.meters import Aggregation, Filter, Operator, build_filter, filter_as_json, meter_active
from runtime.errors import InvalidInput
from tests.unit.metering.builders import meter


def test_a_whole_meter() -> None:
    built = meter(
        group_by={"model": "$.model", "area": "$['the area']"},
        filters=[
            {"property": "$.kind", "operator": "in", "value": ["a", 1, True]},
            {"property": "$.n", "operator": "gte", "value": Decimal("0.5")},
        ],
        effective_positions=[10, 0],
    )
    assert built.aggregation is Aggregation.SUM
    assert list(built.group_by.items()) == [("area", "$['the area']"), ("model", "$.model")]
    assert built.filters == (
        Filter("$.kind", Operator.IN, ("a", Decimal(1), True)),
        Filter("$.n", Operator.GTE, Decimal("0.5")),
    )
    assert built.effective_positions == (10, 0)
    assert hash(built) == hash(meter(filters=built.filters, group_by=built.group_by, effective_positions=(10, 0)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": ""}, "slug"),
        ({"slug": "Upper"}, "slug"),
        ({"slug": "a" * 64}, "slug"),
        ({"slug": "-a"}, "slug"),
        ({"slug": None}, "slug"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": "meterstream.void"}, "event_type"),
        ({"event_type": 5}, "event_type"),
        ({"aggregation": "MEDIAN"}, "aggregation"),
        ({"aggregation": "sum"}, "aggregation"),
        ({"aggregation": ["SUM"]}, "aggregation"),
        ({"aggregation": "COUNT", "value_property": "$.x"}, "value_property"),
        ({"value_property": None}, "value_property"),
        ({"value_property": "tokens"}, "value_property"),
        ({"value_property": 5}, "value_property"),
        ({"group_by": []}, "group_by"),
        ({"group_by": {"a b": "$.a"}}, "group_by"),
        ({"group_by": {"a": "b"}}, "group_by.a"),
        ({"group_by": {f"g{i}": "$.a" for i in range(17)}}, "group_by"),
        ({"filters": {}}, "filters"),
        ({"filters": "x"}, "filters"),
        ({"filters": [{"property": "$.a", "operator": "exists", "value": True}] * 17}, "filters"),
        ({"filters": [5]}, "filters[0]"),
        ({"filters": [{"property": "$.a", "operator": "eq"}]}, "filters[0]"),
        ({"filters": [{"property": "$.a", "operator": "like", "value": "x"}]}, "filters[0].operator"),
        ({"filters": [{"property": "$.a", "operator": [], "value": "x"}]}, "filters[0].operator"),
        ({"filters": [{"property": "a", "operator": "eq", "value": "x"}]}, "filters[0].property"),
        ({"filters": [{"property": "$.a", "operator": "eq", "value": None}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "eq", "value": 0.5}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "eq", "value": "x" * 1025}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "eq", "value": 10**15}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "in", "value": "x"}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "in", "value": []}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "nin", "value": [1] * 101}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "in", "value": [1, {}]}]}, "filters[0].value[1]"),
        ({"filters": [{"property": "$.a", "operator": "gt", "value": "5"}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "lte", "value": True}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "exists", "value": 1}]}, "filters[0].value"),
    ],
)
def test_a_meter_that_cannot_work_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        meter(**changes)
    assert refused.value.details["field"] == field
    assert refused.value.message.startswith(field)


@pytest.mark.parametrize("value", [["a", 1], "x", True, Decimal("0.5")])
def test_filters_survive_being_stored(value: Any) -> None:
    condition = build_filter({"property": "$.a", "operator": "in" if isinstance(value, list) else "eq", "value": value})
    assert build_filter(filter_as_json(condition)) == condition
    assert build_filter(condition) == condition


@pytest.mark.parametrize(
    ("partition", "position", "expected"),
    [(0, 9, False), (0, 10, True), (0, 19, True), (0, 20, False), (1, 0, True), (1, 4, True), (1, 5, False)],
)
def test_in_force_from_effective_to_archived(partition: int, position: int, expected: bool) -> None:
    built = meter(effective_positions=(10, 0), archived_positions=(20, 5))
    assert meter_active(built, partition, position) is expected
    unarchived = meter(effective_positions=(10, 0))
    assert meter_active(unarchived, partition, position) is (position >= (10, 0)[partition])
