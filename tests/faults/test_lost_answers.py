"""A commit is done in Postgres and its answer is lost: the block is neither lost nor counted twice."""

from __future__ import annotations

import pytest

from tests.faults.children import environment
from tests.faults.proxy import lossy_proxy
from tests.faults.scene import Scene, through

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("answers", [3, pytest.param(40, marks=pytest.mark.long)])
def test_answers_to_commits_are_lost(calm: Scene, answers: int) -> None:
    with lossy_proxy("127.0.0.1", calm.stack.embedded.postgres.port) as proxy:
        env = environment(through(calm, proxy.port))
        url = env["METERSTREAM_POSTGRES__URL"]
        worker = calm.worker(WORKER__BLOCK_MAX_RECORDS="300", POSTGRES__URL=url)
        with calm.kafka_load(seed=301) as load:
            calm.wait("something is counted", lambda: calm.records_decided() > 0)
            for number in range(answers):
                proxy.lose_answers(1)
                calm.wait("an answer is lost", lambda number=number: proxy.lost > number)
        calm.assert_exact(load.sender.acked)
        worker.assert_running()
        assert worker.metric("meterstream_blocks_redone_total", cause="Transient") >= answers
        assert worker.terminate() == 0
