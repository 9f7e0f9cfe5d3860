"""Everything derived can be emptied: a replay of the log ends up the same, whatever became of the index on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metering.blocks import Outcome
from tests.engines import TestStack
from tests.faults.scene import Scene, scene

pytestmark = pytest.mark.faults


def _index_dir(made: Scene) -> Path:
    folder = made.settings.worker.index_dir
    assert folder is not None
    return folder


@pytest.mark.parametrize("kept", ["index deleted", pytest.param("index kept", marks=pytest.mark.long)])
def test_the_whole_log_into_empty_tables(calm: Scene, kept: str) -> None:
    worker = calm.worker(WORKER__BLOCK_MAX_RECORDS="300")
    acked = calm.send(701, 8_000).acked
    first = calm.assert_exact(acked)
    before = calm.totals()
    assert worker.terminate() == 0
    calm.empty_derived_tables()
    if kept == "index deleted":
        shutil.rmtree(_index_dir(calm))
    worker.start()  # an index that is ahead of Postgres is begun anew
    again = calm.assert_exact(acked)
    # A worker forwards what is not at home, again: duplicates there.
    assert again.outcomes()[Outcome.COUNTED] == first.outcomes()[Outcome.COUNTED]
    assert calm.totals() == before


def test_an_index_that_is_gone_or_behind_is_filled_from_the_log(calm: Scene) -> None:
    worker = calm.worker(WORKER__BLOCK_MAX_RECORDS="2000")
    stream = iter(calm.stream(711))
    sender = calm.kafka_sender()
    sendings = [next(stream) for _ in range(6_000)]
    sender.send(sendings)
    sender.flush()
    calm.settle()
    old = calm.work_dir / "old index"
    assert worker.terminate() == 0
    shutil.copytree(_index_dir(calm), old)
    worker.start()
    sender.send(next(stream) for _ in range(3_000))
    sender.flush()
    calm.settle()
    worker.kill()
    for fault in ("behind", "gone"):
        shutil.rmtree(_index_dir(calm))
        if fault == "behind":
            shutil.copytree(old, _index_dir(calm))
        worker.start()
        sender.send(sendings)  # every one of them is a repeat, or what it was before
        sender.flush()
        calm.settle()
        worker.kill()
    worker.start()
    calm.assert_exact(sender.acked)


@pytest.mark.long
def test_an_index_of_another_cluster_is_not_believed(calm: Scene, stack: TestStack) -> None:
    worker = calm.worker()
    acked = calm.send(721, 3_000).acked
    calm.assert_exact(acked)
    assert worker.terminate() == 0
    with scene(stack) as other:
        stranger = other.worker("metering", "metering-other")
        other.assert_exact(other.send(722, 5_000).acked)
        assert stranger.terminate() == 0
        shutil.rmtree(_index_dir(calm))
        _index_dir(calm).mkdir()
        for partition in range(calm.settings.kafka.partitions):
            shutil.copytree(
                _index_dir(other) / f"{other.topic}-{partition}", _index_dir(calm) / f"{calm.topic}-{partition}"
            )
    worker.start()
    acked |= calm.send(721, 3_000).acked  # the same again
    calm.assert_exact(acked)


@pytest.mark.long
def test_clickhouse_is_rebuilt_from_the_log(calm: Scene) -> None:
    calm.worker("metering")
    warehouse = calm.worker("warehouse", WORKER__LOAD_WAIT_S="0.2")
    acked = calm.send(731, 5_000).acked
    calm.assert_exact(acked, warehouse=True)
    assert warehouse.terminate() == 0
    child = calm.command("rebuild-1", "rebuild", "clickhouse", "--json")
    assert child.wait(timeout_s=120) == 0, child.tail()
    warehouse.start()
    acked |= calm.send(732, 1_000).acked
    calm.assert_exact(acked, warehouse=True)
