"""What clients see while a store is down or frozen, and afterwards: never an acknowledged event that is not there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from devstack.ports import free_port
from runtime.settings import Settings
from tests.engines import TestStack, running_stack, wait_for
from tests.integration.api.service import Service, running_service

PRODUCE_TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def engines() -> Iterator[TestStack]:
    """Engines of these tests, which start again what they stop."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="module")
def service(engines: TestStack) -> Iterator[Service]:
    """An API on them; it gives up on Kafka after 2 s."""
    with tempfile.TemporaryDirectory() as folder, engines.postgres_database() as postgres_url:
        settings = engines.settings(
            postgres_url=postgres_url, clickhouse_database="api", topic_prefix="", state_dir=Path(folder)
        )
        api = settings.api.model_copy(update={"produce_timeout_s": PRODUCE_TIMEOUT_S})
        with running_service(settings.model_copy(update={"api": api})) as running:
            yield running


class Sender:
    """Sends events one after another and remembers which were acknowledged."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.sent = 0
        self.acknowledged: list[str] = []

    def send(self) -> httpx.Response:
        self.sent += 1
        body = [{"id": f"{self.sent}-{n}", "type": "t", "subject": f"s{n}", "data": {}} for n in range(10)]
        answer = self.client.post("/api/v1/events", json=body)
        if answer.status_code == 200:
            assert answer.json()["accepted"] == 10
            self.acknowledged += [event["id"] for event in body]
        return answer

    def works(self) -> bool:
        return self.send().status_code == 200


def test_kafka_frozen_stopped_and_killed(service: Service, engines: TestStack) -> None:
    with service.client(service.key("acme")) as client:
        sender = Sender(client)
        assert sender.works()

        pid = engines.engine("kafka").process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            frozen = sender.send()
            assert (frozen.status_code, frozen.json()["error"]["code"]) == (503, "UNAVAILABLE")
            assert frozen.headers["retry-after"].isdigit()
            assert time.monotonic() - began < PRODUCE_TIMEOUT_S + 2
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert not ready.json()["parts"]["kafka"]["ok"]
            assert client.get("/healthz").status_code == 200
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("the API produces after the freeze", sender.works)

        engines.kill_engine("kafka")
        assert sender.send().status_code == 503
        engines.restart_engine("kafka")
        wait_for("the API produces after the crash", sender.works, timeout_s=30)
        wait_for("the API is ready again", lambda: client.get("/readyz").status_code == 200, timeout_s=30)

        stored = {json.loads(record.value)["id"] for record in service.records("acme")}
        assert stored >= set(sender.acknowledged)


def test_postgres_and_clickhouse_down(service: Service, engines: TestStack) -> None:
    with service.client(service.key("acme")) as client:
        client.post("/api/v1/meters", json={"slug": "m", "event_type": "t", "aggregation": "COUNT"}).raise_for_status()

        engines.stop_engine("clickhouse")
        assert client.get("/api/v1/meters/m/query").status_code == 503
        assert client.get("/api/v1/subjects").json()["error"]["code"] == "UNAVAILABLE"
        # Ingest does not need it.
        assert client.post("/api/v1/events", json={"id": "1", "type": "t", "subject": "s"}).status_code == 200
        engines.restart_engine("clickhouse")
        wait_for("queries work", lambda: client.get("/api/v1/meters/m/query").status_code == 200)

        engines.stop_engine("postgres")
        answer = client.get("/api/v1/meters")
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        answers = [client.get("/readyz") for _ in range(3)]
        reason = "does not answer; the log of the API says why"
        assert [answer.json()["parts"]["postgres"] for answer in answers] == [{"ok": False, "reason": reason}] * 3
        engines.restart_engine("postgres")
        wait_for("meters work", lambda: client.get("/api/v1/meters").status_code == 200, timeout_s=30)


def test_what_a_killed_api_acknowledged_is_in_the_log(service: Service) -> None:
    key = service.key("acme")
    port = free_port()
    environment = {**os.environ, **_environment(service.settings, port)}
    command = [
        sys.executable,
        "-c",
        "from api.main import serve; from runtime.settings import Settings; serve(Settings())",
    ]
    acknowledged: list[str] = []
    for _ in range(2):
        with (
            subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=10
            ) as client,
        ):
            wait_for("the process answers", lambda client=client: _answers(client), timeout_s=30)
            sender = Sender(client)
            sender.sent = process.pid * 1000
            killer = threading.Timer(1.0, process.kill)
            killer.start()
            with contextlib.suppress(httpx.TransportError):  # in the middle of a request
                while True:
                    assert sender.works()
        acknowledged += sender.acknowledged
    assert acknowledged
    stored = {json.loads(record.value)["id"] for record in service.records("acme")}
    assert stored >= set(acknowledged)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _environment(settings: Settings, port: int) -> dict[str, str]:
    password = settings.clickhouse.password
    return {
        "METERSTREAM_API__PORT": str(port),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "METERSTREAM_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "METERSTREAM_POSTGRES__URL": settings.postgres.url.get_secret_value(),
        "METERSTREAM_CLICKHOUSE__URL": settings.clickhouse.url,
        "METERSTREAM_CLICKHOUSE__PASSWORD": password.get_secret_value() if password else "",
        "METERSTREAM_CLICKHOUSE__DATABASE": settings.clickhouse.database,
    }
