"""SIGTERM: the block in hand is finished, the exit code is 0, and nothing is decided again afterwards."""

from __future__ import annotations

import time

import pytest

from tests.faults.scene import Scene

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("stops", [1, pytest.param(15, marks=pytest.mark.long)])
def test_a_worker_that_is_asked_to_stop_finishes_its_block(calm: Scene, stops: int) -> None:
    calm.send(901, 10_000, mess=0.05)
    warehouse = calm.worker("warehouse", WORKER__LOAD_WAIT_S="0.2")
    worker = calm.worker(WORKER__BLOCK_MAX_RECORDS="500")
    with calm.kafka_load(seed=902) as load:
        for _ in range(stops):
            for child in (worker, warehouse):
                child.wait_for_log("partitions assigned")
            calm.wait_counted(200)
            for child in (worker, warehouse):
                # A broker that never had a group makes aiokafka complain at the start; the stop is what counts here.
                told_before = len(child.log())
                began = time.monotonic()
                assert child.terminate() == 0, child.tail()
                assert time.monotonic() - began < 8
                assert '"level": "error"' not in child.log()[told_before:], child.tail()
            worker.start()
            # All that was decided is on disk, too: nothing has to catch up.
            worker.wait_for_log("partitions assigned")
            calm.wait_counted(1)
            assert "catches up" not in worker.log(), worker.tail()
            warehouse.start()
    calm.assert_exact(load.sender.acked, warehouse=True)


def test_a_worker_that_still_waits_for_a_store_stops_at_once(calm: Scene) -> None:
    worker = calm.worker(POSTGRES__URL="postgresql://127.0.0.1:1/nowhere")
    worker.wait_for_log("trying again")
    assert worker.terminate(timeout_s=8) == 0
