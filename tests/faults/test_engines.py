"""Each store killed, stopped or frozen for a while under load: afterwards everything is there, once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.engines import EngineName
from tests.faults.scene import Scene
from tests.faults.sender import Load

pytestmark = pytest.mark.faults
_AWAY_S = 3.0

Fault = Callable[[Scene, EngineName], None]


def _kill(scene: Scene, engine: EngineName) -> None:
    scene.stack.kill_engine(engine)
    scene.stack.restart_engine(engine)


def _stop_for_a_while(scene: Scene, engine: EngineName) -> None:
    scene.stack.stop_engine(engine)
    time.sleep(_AWAY_S)
    scene.stack.restart_engine(engine)


def _freeze_for_a_while(scene: Scene, engine: EngineName) -> None:
    pid = scene.stack.engine(engine).process.pid
    assert pid is not None
    frozen = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    try:
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        time.sleep(_AWAY_S)
    finally:
        for process in frozen:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


def _count_through(scene: Scene, engine: EngineName, fault: Fault, *, times: int) -> None:
    workers = [scene.worker("metering"), scene.worker("warehouse", WORKER__LOAD_WAIT_S="0.2")]
    with scene.kafka_load(seed=201) as load:
        for _ in range(times):
            scene.wait_counted()
            fault(scene, engine)
    found = scene.assert_exact(load.sender.acked, warehouse=True, timeout_s=120)
    assert sum(found.outcomes().values()) >= load.sender.sent
    for worker in workers:
        worker.assert_running()  # a store that comes back within minutes stops no worker


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["kafka", "postgres", "clickhouse"])
def test_an_engine_is_killed(stormy: Scene, engine: EngineName) -> None:
    _count_through(stormy, engine, _kill, times=1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["kafka", "postgres", "clickhouse"])
@pytest.mark.parametrize("fault", [_kill, _stop_for_a_while, _freeze_for_a_while])
def test_an_engine_fails_again_and_again(stormy: Scene, engine: EngineName, fault: Fault) -> None:
    _count_through(stormy, engine, fault, times=4)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["kafka", "postgres"])
def test_workers_start_and_share_while_an_engine_is_down(stormy: Scene, engine: EngineName) -> None:
    first = stormy.worker("metering", "metering-1")
    with stormy.kafka_load(seed=202) as load:
        stormy.wait("something is counted", lambda: stormy.records_decided() > 0)
        stormy.stack.stop_engine(engine)
        second = stormy.worker("metering", "metering-2")
        time.sleep(8)
        stormy.stack.restart_engine(engine)
        second.wait_for_log("partitions assigned")
    stormy.assert_exact(load.sender.acked)
    first.assert_running()
    second.assert_running()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_http_answers_503_while_kafka_is_away_and_loses_nothing(stormy: Scene) -> None:
    stormy.worker("metering")
    stormy.api()
    sender = stormy.http_sender()
    with Load(sender, stormy.stream(203), per_s=5):
        stormy.wait("the API takes events", lambda: sender.sent > 0)
        stormy.stack.kill_engine("kafka")
        time.sleep(1)
        stormy.stack.restart_engine("kafka")
        sent = sender.sent
        stormy.wait("the API takes events again", lambda: sender.sent > sent)
    stormy.assert_exact(sender.acked)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_worker_that_is_frozen_wakes_up_as_a_stranger(stormy: Scene) -> None:
    """Longer than its session: another one takes its partitions, and the sleeper's last block is not written twice."""
    sleeper = stormy.worker("metering", "metering-1", WORKER__BLOCK_MAX_RECORDS="300")
    other = stormy.worker("metering", "metering-2", WORKER__BLOCK_MAX_RECORDS="300")
    with stormy.kafka_load(seed=204) as load:
        for pause_s in (3, 12):
            stormy.wait_counted(500)
            sleeper.freeze()
            time.sleep(pause_s)
            sleeper.thaw()
    stormy.assert_exact(load.sender.acked, timeout_s=120)
    other.assert_running()
