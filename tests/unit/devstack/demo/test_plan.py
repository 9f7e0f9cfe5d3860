"""The demo's plan, held against the domain's own rules: every sending ends as the plan says, and the sums come out."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import polars as pl
import pytest

from devstack.demo.meters import METERS, DemoMeter
from devstack.demo.plan import Plan, make_plan
from devstack.demo.recount import Cut, Recount
from devstack.demo.sendings import Ending, Way
from devstack.demo.trace import CUSTOMERS, shifted_trace
from tests.unit.devstack.demo.memory_stack import MemoryStack

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture(scope="module")
def requests() -> pl.DataFrame:
    return shifted_trace(NOW)


@pytest.fixture(scope="module")
def plan(requests: pl.DataFrame) -> Plan:
    return make_plan(requests, organization="demo", now=NOW)


def test_the_trace_is_the_whole_one(requests: pl.DataFrame) -> None:
    assert len(requests) == 8_819
    assert requests["input_tokens"].sum() == 18_059_974
    assert requests["output_tokens"].sum() == 245_896
    assert requests["time"].max() == NOW
    assert requests["customer"].n_unique() == CUSTOMERS
    # Otherwise the latest request of a customer would be left to chance.
    assert requests["time"].n_unique() == 8_819


def test_late_requests_are_late_by_hours_to_weeks(requests: pl.DataFrame) -> None:
    ages = requests.filter("late").select((pl.lit(NOW) - pl.col("time")).dt.total_hours())[
        "time" if False else "literal"
    ]
    assert len(ages) == 304
    assert ages.min() >= 1  # type: ignore[operator]
    assert ages.max() < 35 * 24 - 1  # type: ignore[operator]
    assert ages.max() > 30 * 24  # type: ignore[operator]


def test_the_plan_is_the_same_each_time(requests: pl.DataFrame, plan: Plan) -> None:
    again = make_plan(requests, organization="demo", now=NOW)
    assert again.mixed == plan.mixed
    assert again.conflicts == plan.conflicts


def test_the_plan_has_what_it_promises(plan: Plan) -> None:
    firsts = [
        s for s in plan.mixed if s.ending is Ending.COUNTED and not s.skipped_by and b"heartbeat" not in (s.body or b"")
    ]
    ways = Counter(s.way for s in firsts)
    assert len(firsts) == 8_819
    assert abs(ways[Way.HTTP] - 8_819 / 2) < 1
    assert abs(ways[Way.AIOKAFKA] - ways[Way.LIBRDKAFKA]) <= 1
    assert plan.tally.duplicates == 441
    assert plan.tally.dead_letters["CONFLICT"] == 45
    assert len(plan.tally.refused) >= 12
    assert len(plan.tally.dead_letters) >= 12
    assert plan.tally.accepted == plan.tally.counted + plan.tally.duplicates + plan.tally.dead_letters.total()


@pytest.fixture(scope="module")
def stack(plan: Plan) -> MemoryStack:
    stack = MemoryStack(METERS, now=NOW)
    for sending in [*plan.mixed, *plan.conflicts]:
        stack.send(sending)
    return stack


def test_every_sending_ends_as_planned(plan: Plan, stack: MemoryStack) -> None:
    assert stack.tally(plan.tally.sent) == plan.tally


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.slug)
def test_the_recount_from_the_file_equals_the_domain(
    requests: pl.DataFrame, plan: Plan, stack: MemoryStack, meter: DemoMeter
) -> None:
    expected = Recount(requests, plan.counted_extras).numbers(meter, Cut(by="customer", window="HOUR"))
    assert len(expected) > CUSTOMERS
    assert stack.hourly(meter.slug) == expected


def test_days_are_those_of_the_zone(requests: pl.DataFrame, plan: Plan) -> None:
    recount = Recount(requests, plan.counted_extras)
    days = recount.numbers(METERS[0], Cut(window="DAY", zone="Asia/Kolkata"))
    assert {(cell.start.hour, cell.start.minute) for cell in days if cell.start} == {(18, 30)}
    assert sum(days.values()) == recount.total("input_tokens")
