"""`meterstream emit` over both ways, on a real API and broker: what is stored, what is told, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metering.partitions import home_partition
from tests.engines import TestStack
from tests.integration.api.service import Service, running_service

pytestmark = pytest.mark.integration

GOOD = 1_200  # more than a request holds


@pytest.fixture(scope="module")
def service(stack: TestStack) -> Iterator[Service]:
    with stack.fresh_settings("emit") as settings, running_service(settings) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [json.dumps(event(number)) for number in range(GOOD)]
    without_subject = event(0) | {"id": "bad"}
    del without_subject["subject"]
    lines[3:3] = ['{"half": ', "", json.dumps(without_subject)]
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(lines))
    return path


def event(number: int) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"e{number}", "source": "s", "type": "t", "subject": f"c{number % 50}"}


def emit(service: Service, *arguments: str, stdin: bytes | None = None) -> tuple[int, dict[str, Any], str]:
    settings = service.settings
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("METERSTREAM_")}
    environment = {
        **inherited,
        "METERSTREAM_STATE_DIR": str(settings.state_dir / "none"),
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "METERSTREAM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "METERSTREAM_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "METERSTREAM_API__PORT": service.url.rpartition(":")[2],
    }
    command = [sys.executable, "-m", "cli.main", "emit", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, input=stdin, check=False, timeout=120)
    lines = done.stdout.decode().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr.decode()


@pytest.mark.parametrize("via", ["http", "kafka"])
def test_what_is_accepted_is_stored_and_what_is_not_is_told(service: Service, file: Path, via: str) -> None:
    slug = f"acme-{uuid.uuid4().hex[:8]}"
    how = ["--key", service.key(slug, "ingest")] if via == "http" else ["--organization", slug]
    code, summary, told = emit(service, str(file), "--via", via, *how)
    assert code == 1
    assert (summary["sent"], summary["accepted"], summary["rejected"]) == (GOOD + 2, GOOD, 2)
    reasons = [(reason["line"], reason["code"]) for reason in summary["reasons"]]
    assert reasons == [(4, "INVALID_JSON"), (6, "MISSING_FIELD")]
    assert "line 4: INVALID_JSON" in told
    assert "line 6: MISSING_FIELD" in told
    records = service.records(slug)
    assert sorted(json.loads(record.value)["id"] for record in records) == sorted(f"e{n}" for n in range(GOOD))
    assert all(record.key == json.loads(record.value)["subject"].encode() for record in records)
    partitions = service.settings.kafka.partitions
    assert all(record.partition == home_partition(record.key.decode(), partitions) for record in records)


def test_standard_input_is_read(service: Service) -> None:
    slug = f"acme-{uuid.uuid4().hex[:8]}"
    stdin = "\n".join(json.dumps(event(number)) for number in range(3)).encode()
    code, summary, told = emit(service, "-", "--key", service.key(slug), stdin=stdin)
    assert (code, summary["accepted"]) == (0, 3), told
    assert len(service.records(slug)) == 3


def test_what_cannot_be_sent_says_why(service: Service, file: Path) -> None:
    assert "METERSTREAM_API_KEY" in _failure(service, str(file))
    assert "INSUFFICIENT_PERMISSIONS" in _failure(service, str(file), "--key", service.key("acme", "read"))


def _failure(service: Service, *arguments: str) -> str:
    code, summary, told = emit(service, *arguments)
    assert code == 1
    assert summary == {}
    assert "Traceback" not in told
    return told
