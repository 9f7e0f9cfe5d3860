"""The demo's verdict: nothing may be missing, differ, or be too many."""

from __future__ import annotations

import pytest

from devstack.demo.comparison import Comparison

pytestmark = pytest.mark.unit


def test_equal_tables_and_numbers_are_equal() -> None:
    comparison = Comparison()
    comparison.number("log", "sent", 3, 3)
    comparison.table("Postgres", "tokens", {("a", 1): 5}, {("a", 1): 5})
    assert comparison.equal


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": 1}, "b: expected 2, found None"),
        ({"a": 1, "b": 3}, "b: expected 2, found 3"),
        ({"a": 1, "b": 2, "c": 0}, "c: expected None, found 0"),
    ],
)
def test_a_cell_that_is_missing_wrong_or_too_many_is_told(found: dict[str, int], told: str) -> None:
    comparison = Comparison()
    comparison.table("Postgres", "tokens", {"a": 1, "b": 2}, found)
    assert not comparison.equal
    assert comparison.checks[0].difference == told


def test_a_wrong_number_is_not_equal() -> None:
    comparison = Comparison()
    comparison.number("log", "sent", 3, 4)
    assert not comparison.equal
