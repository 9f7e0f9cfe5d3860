"""Meters and organizations begin and end under load, at one place of the log each; a replay finds the same places."""

from __future__ import annotations

import pytest

from tests.engines import TestStack
from tests.faults.scene import Scene, scene

pytestmark = pytest.mark.faults


def _change(made: Scene, rounds: int) -> None:
    for number in range(rounds):
        made.wait_counted(100)
        meter = {"slug": f"sum-{number}", "event_type": "request", "aggregation": "SUM", "value_property": "$.tokens"}
        made.add_meter("acme", meter)
        if number % 2:
            made.archive_meter("acme", f"sum-{number - 1}")
        if number == 1:
            made.add_organization("nobody")  # its events were dead letters so far
            made.add_meter("nobody", {"slug": "all", "event_type": "request", "aggregation": "COUNT"})


def _change_under_load(stack: TestStack, rounds: int) -> None:
    with scene(stack) as made:
        workers = [made.worker("metering", f"metering-{n}", WORKER__BLOCK_MAX_RECORDS="200") for n in (1, 2)]
        workers.append(made.worker("warehouse", WORKER__LOAD_WAIT_S="0.2"))
        with made.kafka_load(seed=501, per_s=8) as load:
            _change(made, rounds)
            made.wait_counted(100)
        found = made.assert_exact(load.sender.acked, warehouse=True)
        assert found.codes()["UNKNOWN_ORGANIZATION"] > 0
        assert any(identity.organization == "nobody" for identity in found.counted_identities())
        for worker in workers:
            assert worker.terminate() == 0
        before = made.totals()
        # A replay without the old journal cuts its blocks anew: the loads that were cut by the old ones end here.
        made.empty_derived_tables()
        made.children.clear()
        made.worker("metering", "metering-3")
        made.assert_exact(load.sender.acked)
        assert made.totals() == before


def test_meters_and_an_organization_begin_and_end_under_load(stack: TestStack) -> None:
    _change_under_load(stack, rounds=2)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_meters_begin_and_end_under_load(stack: TestStack) -> None:
    _change_under_load(stack, rounds=40)
