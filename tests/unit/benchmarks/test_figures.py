"""A figure's line, and percentiles."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, percentile

pytestmark = pytest.mark.unit


def test_a_line_has_the_ratio_to_the_baseline() -> None:
    line = Figure("metering", 160_000.4, "events/s", baseline=4_000, target=150_000, on={"meters": 2}).as_json()
    assert (line["value"], line["baseline"], line["ratio"], line["met"]) == (160_000, 4_000, 40.0, True)
    assert line["on"]["meters"] == 2
    assert line["on"]["cpus"] >= 1


@pytest.mark.parametrize(
    ("unit", "value", "met"), [("ms", 40, True), ("ms", 60, False), ("events/s", 40, False), ("events/s", 60, True)]
)
def test_a_target_is_a_bound_of_its_unit(unit: str, value: float, met: bool) -> None:
    assert Figure("x", value, unit, target=50).met is met


def test_without_a_target_nothing_is_met_or_missed() -> None:
    assert Figure("x", 1, "ms").met is None


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share: float, found: int) -> None:
    assert percentile(range(100, 0, -1), share) == found
