"""The worker of jobs: killed in the middle of a job, and while Postgres is away."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.engines import wait_for
from tests.faults.scene import Scene
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process

pytestmark = [pytest.mark.faults, pytest.mark.integration]


def test_jobs_go_on_after_postgres_was_killed(stormy: Scene, tmp_path: Path) -> None:
    with simulator_process(tmp_path) as simulator:
        child = stormy.worker("jobs", STRIPE__API_KEY=simulator.api_key, STRIPE__API_BASE=simulator.url)
        wait_for("the first reconciliation is done", lambda: _cursors(stormy) == 1, timeout_s=60)
        stormy.stack.kill_engine("postgres")
        child.wait_for_log("the queue does not answer")
        stormy.stack.restart_engine("postgres")
        with psycopg.connect(stormy.settings.postgres.url.get_secret_value(), autocommit=True) as connection:
            connection.execute("delete from job_cursors")
        # It asks for what was missed whenever it begins to work.
        wait_for("the jobs go on", lambda: _cursors(stormy) == 1, timeout_s=90)
        child.assert_running()
        assert child.terminate() == 0, child.tail()


def test_a_worker_that_was_killed_while_it_reconciled_is_followed_by_one_that_does(
    stormy: Scene, tmp_path: Path
) -> None:
    with simulator_process(tmp_path) as simulator:
        simulator.break_things({"kind": "latency", "path": "/v1/events", "seconds": 600})
        child = stormy.worker("jobs", STRIPE__API_KEY=simulator.api_key, STRIPE__API_BASE=simulator.url)
        wait_for("Stripe is asked", lambda: _asked(simulator), timeout_s=60)
        child.kill()
        assert stormy.sql("select count(*) from procrastinate.procrastinate_jobs where status = 'doing'") == [(1,)]
        simulator.break_things()
        child.start()
        wait_for("another has reconciled", lambda: _cursors(stormy) == 1, timeout_s=60)
        assert child.terminate() == 0, child.tail()


def _cursors(made: Scene) -> int:
    with psycopg.connect(made.settings.postgres.url.get_secret_value(), autocommit=True) as connection:
        row = connection.execute("select count(*) from job_cursors").fetchone()
    assert row is not None
    return int(row[0])


def _asked(simulator: SimulatorProcess) -> bool:
    return any(call["path"] == "/v1/events" for call in simulator.calls())
