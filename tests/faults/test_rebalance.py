"""Workers come and go under load: partitions move, and hardly anything is read twice."""

from __future__ import annotations

import re
import time

import pytest

from tests.faults.children import Child
from tests.faults.scene import Scene

pytestmark = pytest.mark.faults
# Most of the log is counted before workers come and go: what is read again depends on the load, not on the log.
_BEFORE = 20_000


def _assigned(worker: Child) -> int:
    """Return how many partitions the worker was given last."""
    found = re.findall(r'"partitions assigned".*?"partitions": \[([0-9, ]*)\]', worker.log())
    return len([number for number in found[-1].split(",") if number.strip()]) if found else 0


def _shared(workers: list[Child], partitions: int) -> bool:
    counts = [_assigned(worker) for worker in workers]
    return sum(counts) == partitions and min(counts) >= 1


def _fetched(worker: Child) -> float:
    return worker.metric("meterstream_records_fetched_total")


def _two_three_two(scene: Scene, rounds: int) -> None:
    partitions = scene.settings.kafka.partitions
    acked = scene.send(400, _BEFORE, mess=0.05).acked
    workers = [scene.worker("metering", f"metering-{number}") for number in (1, 2)]
    scene.wait("two workers share", lambda: _shared(workers, partitions))
    scene.settle()
    counted = scene.records_decided()
    at_start = [_fetched(worker) for worker in workers]
    fetched = 0.0
    with scene.kafka_load(seed=401) as load:
        for _ in range(rounds):
            _count_some(scene)
            third = scene.worker("metering", "metering-3")
            scene.wait("three workers share", lambda third=third: _shared([*workers, third], partitions))
            _count_some(scene)
            assert third.terminate() == 0
            scene.children.remove(third)
            fetched += third.fetched_at_end()
            scene.wait("two workers share again", lambda: _shared(workers, partitions))
            _count_some(scene)
    found = scene.assert_exact(acked, load.sender.acked)
    for worker in workers:
        worker.assert_running()
    fetched += sum(_fetched(worker) - before for worker, before in zip(workers, at_start, strict=True))
    records = sum(found.outcomes().values())
    again = fetched - (records - counted)
    assert 0 <= again < 0.01 * records, f"{again:.0f} of {records} records were read again"


def _count_some(scene: Scene) -> None:
    scene.wait_counted(500)
    time.sleep(0.5)


@pytest.mark.timeout(400)
def test_two_workers_three_and_two_again(calm: Scene) -> None:
    _two_three_two(calm, rounds=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_workers_three_and_two_again_and_again(calm: Scene) -> None:
    _two_three_two(calm, rounds=4)
