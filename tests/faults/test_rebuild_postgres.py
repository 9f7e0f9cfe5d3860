"""`meterstream rebuild postgres`: the same rows again, from the log alone, also under load and after a kill."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.faults.scene import Scene

pytestmark = pytest.mark.faults


def _rebuild(scene: Scene, name: str) -> dict[str, Any]:
    child = scene.command(name, "rebuild", "postgres", "--json")
    assert child.wait(timeout_s=120) == 0, child.tail()
    answer: dict[str, Any] = json.loads(child.log().strip().splitlines()[-1])
    return answer


def _series(scene: Scene) -> int:
    return int(scene.sql("select count(*) from usage_series")[0][0])


def test_a_rebuild_gives_the_same_rows(calm: Scene) -> None:
    worker = calm.worker(WORKER__BLOCK_MAX_RECORDS="300")
    acked = calm.send(601, 4_000).acked
    calm.settle()
    calm.add_meter("acme", {"slug": "later", "event_type": "request", "aggregation": "COUNT"})
    acked |= calm.send(602, 2_000).acked
    calm.assert_exact(acked)
    before = calm.totals()
    answer = _rebuild(calm, "rebuild-1")
    assert answer["equal"], answer
    assert answer["tables"]["usage_buckets"]["live"] == len(before)
    assert answer["tables"]["dead_letters"]["live"] > 100
    assert calm.totals() == before
    acked |= calm.send(603, 2_000).acked  # to a worker that knows the series by their old numbers
    calm.assert_exact(acked)
    assert worker.terminate() == 0


@pytest.mark.long
def test_a_rebuild_mends_what_was_damaged(calm: Scene) -> None:
    calm.worker(WORKER__BLOCK_MAX_RECORDS="300")
    acked = calm.send(611, 4_000).acked
    calm.settle()
    calm.sql("delete from usage_buckets where ctid in (select ctid from usage_buckets limit 100)")
    calm.sql("update usage_buckets set events = events + 1 where ctid in (select ctid from usage_buckets limit 10)")
    calm.sql("delete from stream_blocks where from_position > 0 and partition = 1")
    calm.sql("delete from dead_letters where partition = 2")
    answer = _rebuild(calm, "rebuild-1")
    unequal = [name for name, table in answer["tables"].items() if not table["equal"]]
    assert unequal == ["usage_buckets", "stream_blocks", "dead_letters"]
    calm.assert_exact(acked)
    assert _rebuild(calm, "rebuild-2")["equal"]


def test_a_rebuild_under_load_loses_nothing_and_mixes_nothing_up(calm: Scene) -> None:
    workers = [calm.worker("metering", f"metering-{number}") for number in (1, 2)]
    before = calm.send(621, 6_000).acked
    with calm.kafka_load(seed=622, per_s=8) as load:
        calm.wait_counted()
        # Series whose numbers the twins do not have: what workers remember of them must not outlive the swap.
        calm.sql("delete from usage_series where id in (select id from usage_series order by id limit 1)")
        child = calm.command("rebuild-1", "rebuild", "postgres", "--json")
        time.sleep(1)
        calm.add_meter("acme", {"slug": "during", "event_type": "request", "aggregation": "COUNT"})
        assert child.wait(timeout_s=120) == 0, child.tail()
        calm.wait_counted(500)
        assert _rebuild(calm, "rebuild-2")["equal"]
        calm.wait_counted(500)
    calm.assert_exact(before, load.sender.acked)
    for worker in workers:
        worker.assert_running()


@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.long)])
def test_a_rebuild_that_is_killed_has_changed_nothing(calm: Scene, kills: int) -> None:
    calm.worker()
    before = calm.send(631, 4_000).acked
    calm.settle()
    with calm.kafka_load(seed=632) as load:
        for number in range(kills):
            child = calm.command(f"rebuild-{number}", "rebuild", "postgres")
            calm.wait(
                "the twins are there", lambda: bool(calm.sql("select to_regclass('rebuild.usage_buckets')")[0][0])
            )
            time.sleep(0.7 * number / kills)
            child.kill()
            calm.wait_counted(100)
    calm.assert_exact(before, load.sender.acked)
    assert _series(calm) > 0
    assert _rebuild(calm, "rebuild-last")["equal"]
    calm.assert_exact(before, load.sender.acked)


@pytest.mark.long
def test_a_rebuild_waits_for_the_one_before(calm: Scene) -> None:
    calm.worker()
    acked = calm.send(641, 4_000).acked
    calm.settle()
    both = [calm.command(f"rebuild-{number}", "rebuild", "postgres", "--json") for number in (1, 2)]
    for child in both:
        assert child.wait(timeout_s=120) == 0, child.tail()
        assert json.loads(child.log().strip().splitlines()[-1])["equal"]
    calm.assert_exact(acked)


@pytest.mark.long
def test_totals_of_another_log_are_not_thrown_away(calm: Scene) -> None:
    calm.worker()
    acked = calm.send(651, 500).acked
    calm.settle()
    calm.sql(
        "insert into stream_blocks select 'older.usage.events.v1', partition, from_position, to_position, records,"
        " counted, duplicates, rejected, forwarded, arrival_hour, rules_version, catalogue_version, counted_bits"
        " from stream_blocks limit 1"
    )
    before = calm.totals()
    child = calm.command("rebuild-1", "rebuild", "postgres")
    assert child.wait() != 0
    assert "older.usage.events.v1" in child.log()
    assert calm.totals() == before
    calm.sql("delete from stream_blocks where topic = 'older.usage.events.v1'")
    calm.assert_exact(acked)
