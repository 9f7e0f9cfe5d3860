"""kill -9 of each process at random moments under load: nothing lost, nothing counted twice."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.children import Child
from tests.faults.scene import Scene
from tests.faults.sender import Load

pytestmark = pytest.mark.faults


def _kill_at_random(scene: Scene, child: Child, *, kills: int, seed: int) -> None:
    """Kill the worker, mostly in the middle of its work, now and then while it starts."""
    chance = random.Random(seed)
    for _ in range(kills):
        if chance.random() < 0.75:
            child.wait_for_log("partitions assigned")
            scene.wait_counted()
        time.sleep(chance.uniform(0, 1.5))
        child.assert_running()
        child.kill()
        child.start()


def _metering(scene: Scene, kills: int) -> None:
    worker = scene.worker(WORKER__BLOCK_MAX_RECORDS="500")
    with scene.kafka_load(seed=101) as load:
        _kill_at_random(scene, worker, kills=kills, seed=1)
    assert load.sender.sent > 1_000
    scene.assert_exact(load.sender.acked)


def _warehouse(scene: Scene, kills: int) -> None:
    scene.worker("metering")
    worker = scene.worker("warehouse", WORKER__LOAD_WAIT_S="0.1", WORKER__LOAD_MAX_RECORDS="1000")
    with scene.kafka_load(seed=102) as load:
        _kill_at_random(scene, worker, kills=kills, seed=2)
    scene.assert_exact(load.sender.acked, warehouse=True)


def _api(scene: Scene, kills: int) -> None:
    scene.worker("metering")
    api, sender = scene.api(), scene.http_sender()
    chance = random.Random(3)
    with Load(sender, scene.stream(103), per_s=5):
        for _ in range(kills):
            sent = sender.sent
            scene.wait("the API takes events between two kills", lambda sent=sent: sender.sent > sent)
            time.sleep(chance.uniform(0, 0.5))
            api.kill()
            api.start()
    assert sender.repeated >= 1
    found = scene.assert_exact(sender.acked)
    assert "CONFLICT" not in found.codes(), "a batch that is sent again after a kill is a duplicate"


def test_metering_is_killed(calm: Scene) -> None:
    _metering(calm, kills=3)


def test_the_warehouse_is_killed(calm: Scene) -> None:
    _warehouse(calm, kills=3)


def test_the_api_is_killed(calm: Scene) -> None:
    _api(calm, kills=3)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_metering_is_killed_often(calm: Scene) -> None:
    _metering(calm, kills=22)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_warehouse_is_killed_often(calm: Scene) -> None:
    _warehouse(calm, kills=22)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_api_is_killed_often(calm: Scene) -> None:
    _api(calm, kills=22)
