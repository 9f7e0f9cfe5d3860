"""`meterstream up`, `status` and `down` as an operator types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import psycopg
import pytest
from confluent_kafka import Producer

from devstack.state import Stack, find_stack
from devstack.up import EmbeddedStack
from metering.topics import USAGE_EVENTS
from tests.engines import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


PARTS = {
    *("kafka", "postgres", "clickhouse", "valkey", "stripe-simulator"),
    *("api", "metering", "warehouse", "billing", "jobs"),
}
"""Everything that `up` starts where nothing is set."""


class Operator:
    """Types commands against one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("METERSTREAM_")}
        self.environment = {**inherited, "METERSTREAM_STATE_DIR": str(state_dir), "COLUMNS": "200"}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *arguments]

    def status(self) -> dict[str, Any]:
        answer = json.loads(self.run("status", "--json").stdout.splitlines()[-1])
        assert isinstance(answer, dict)
        return answer

    def stack(self) -> Stack:
        found = find_stack(self.state_dir)
        assert found is not None
        return found

    def running(self) -> list[str]:
        found = find_stack(self.state_dir)
        return [] if found is None else [part.name for part in EmbeddedStack(found).running()]


@pytest.fixture
def operator() -> Iterator[Operator]:
    state_dir = Path(tempfile.mkdtemp(prefix="meterstream-up-"))
    operator = Operator(state_dir)
    try:
        yield operator
    finally:
        operator.run("down")
        assert operator.running() == []
        shutil.rmtree(state_dir, ignore_errors=True)


def test_up_twice_down_and_up_again_with_the_data(operator: Operator) -> None:
    first = operator.run("up", "--detach")
    assert first.returncode == 0, first.stdout + first.stderr
    status = operator.status()
    assert status["healthy"], status
    assert {part["name"] for part in status["parts"]} == PARTS
    assert all(f"✓ {name}" in first.stdout for name in PARTS), first.stdout
    _leave_something(operator.stack())

    again = operator.run("up", "--detach")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert [part["pid"] for part in operator.status()["parts"]] == [part["pid"] for part in status["parts"]]
    refused = operator.run("up", "--fresh")
    assert refused.returncode == 1
    assert "meterstream down" in refused.stderr

    assert operator.run("down").returncode == 0
    assert operator.running() == []
    assert operator.run("status").returncode == 1

    restarted = operator.run("up", "--detach")
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr
    _find_it(operator.stack())

    # A part that died is started again; the others are left alone.
    EmbeddedStack(operator.stack()).services[0].process.kill()
    assert not operator.status()["healthy"]
    mended = operator.run("up", "--detach")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "✓ api" in mended.stdout
    assert "✓ kafka" not in mended.stdout
    assert operator.status()["healthy"]

    assert operator.run("down").returncode == 0
    other = operator.run("up", "--detach", METERSTREAM_STRIPE__API_KEY="sk_test_of_somebody")
    assert other.returncode == 1, other.stdout + other.stderr
    assert "no webhook secret" in other.stdout
    assert "follows the account acct_simulator" in other.stderr
    assert operator.running() == []
    fresh = operator.run("up", "--fresh", "--detach")
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    with psycopg.connect(operator.stack().postgres_url) as connection:
        assert connection.execute("select to_regclass('left_behind')").fetchone() == (None,)


def test_a_part_that_fails_says_why_and_leaves_nothing_running(operator: Operator) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        failed = operator.run("up", "--detach", METERSTREAM_API__PORT=port)
    assert failed.returncode == 1
    assert "api" in failed.stderr
    assert "address already in use" in failed.stderr
    assert "api.log" in failed.stderr
    assert operator.running() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground_ends_cleanly(operator: Operator, number: signal.Signals) -> None:
    # Where this run is a background job of a shell, it ignores Ctrl-C, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    foreground = subprocess.Popen(operator.argv("up"), env=operator.environment, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        assert foreground.stdout is not None
        shown = []
        for line in foreground.stdout:
            shown.append(line)
            if "Ctrl-C" in line:
                break
        assert set(operator.running()) == PARTS, "".join(shown)
        foreground.send_signal(number)
        rest, _ = foreground.communicate(timeout=90)
    finally:
        foreground.kill()
        foreground.communicate()
    assert foreground.returncode == 0
    assert "Stopped." in rest
    assert operator.running() == []


def test_nothing_outlives_a_killed_foreground(operator: Operator) -> None:
    foreground = subprocess.Popen(operator.argv("up"), env=operator.environment, stdout=subprocess.DEVNULL)
    try:
        wait_for("the engines run", lambda: "kafka" in operator.running(), timeout_s=60)
    finally:
        foreground.kill()
        foreground.wait()
    wait_for("everything ended", lambda: operator.running() == [], timeout_s=40)


def _leave_something(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute("create table left_behind as select 42 as answer")
    client = _clickhouse(stack)
    client.command("create table left_behind engine = MergeTree order by answer as select 42 as answer")
    client.close()
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap_servers, "acks": "all"})
    failures: list[object] = []
    producer.produce(USAGE_EVENTS, b"not an event", on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(20) == 0
    assert failures == [None]
    # Seen by the worker: a record that is no event is a dead letter.
    wait_for("the dead letter", lambda: _dead_letters(stack) == 1)


def _find_it(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        assert connection.execute("select answer from left_behind").fetchone() == (42,)
    client = _clickhouse(stack)
    assert client.command("select answer from left_behind") == 42
    client.close()
    assert _dead_letters(stack) == 1
    api = next(part.url for part in stack.parts if part.name == "api")
    assert httpx.get(f"{api}/healthz", timeout=10).status_code == 200


def _dead_letters(stack: Stack) -> int:
    with psycopg.connect(stack.postgres_url) as connection:
        row = connection.execute("select count(*) from dead_letters").fetchone()
        assert row is not None
        return int(row[0])


def _clickhouse(stack: Stack) -> Any:
    return clickhouse_connect.get_client(
        dsn=stack.clickhouse_url, password=stack.clickhouse_password or "", database="meterstream"
    )
