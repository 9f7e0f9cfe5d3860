"""A filter over a column lets through what `readings.matches` lets through."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from metering.columns import Kind
from metering.filter_columns import matching
from metering.meters import build_filter
from metering.readings import matches

SCALAR = st.one_of(
    st.sampled_from(["a", "b", "", "5"]),
    st.booleans(),
    st.sampled_from([Decimal(5), Decimal("5.5"), Decimal("-5.5"), Decimal(-6), Decimal(0)]),
)
NUMBER = st.sampled_from([Decimal(number) for number in ("5", "4.5", "5.5", "-5.5", "-6", "0")])
FILTERS = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), SCALAR),
    st.tuples(st.sampled_from(["in", "nin"]), st.lists(SCALAR, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBER),
    st.tuples(st.just("exists"), st.booleans()),
)
COLUMNS: list[tuple[Kind, list[Any]]] = [
    (Kind.TEXT, ["a", "b", "c", "", "5", None]),
    (Kind.INTEGER, [-7, -6, -5, 0, 4, 5, 6, 2**63 - 1, None]),
    (Kind.BOOLEAN, [True, False, None]),
]


@given(condition=FILTERS, column=st.sampled_from(COLUMNS))
def test_agrees_with_the_exact_rule(condition: tuple[str, Any], column: tuple[Kind, list[Any]]) -> None:
    kind, values = column
    built = build_filter({"property": "$.x", "operator": condition[0], "value": condition[1]})
    exact = [Decimal(value) if type(value) is int else value for value in values]
    expected = [matches(built, {"x": value}) for value in exact]
    assert matching(built, kind, pa.array(values, kind.value)).tolist() == expected
