"""What `docs/producing.md` shows is true: its snippets run as they stand, and what they produce is counted at home."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from metering.events import UsageEvent, parse_event
from metering.http_events import HttpEvent, check_for_http, split_batch
from metering.partitions import home_partition
from metering.records import RecordBatch
from metering.times import parse_time
from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topics import create_topics, topic_name

TEXT = (Path(__file__).parents[3] / "docs" / "producing.md").read_text()
ARRIVAL_MS = parse_time("2026-11-23T12:00:01Z") // 1000


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.integration
@pytest.mark.parametrize("code", blocks("python"), ids=["aiokafka", "confluent-kafka"])
async def test_python_snippet_produces_to_the_home_partition(code: str, settings: Settings) -> None:
    await create_topics(settings.kafka)
    topic = topic_name(settings.kafka, USAGE_EVENTS)
    assert "127.0.0.1:9092" in code
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code.replace("127.0.0.1:9092", settings.kafka.bootstrap_servers).replace(USAGE_EVENTS, topic),
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()

    home = home_partition("customer-42", settings.kafka.partitions)
    batch = await _read(settings, topic, home)
    assert batch.keys == [b"customer-42"]
    assert batch.organizations == [b"acme"]
    event = parse_event(batch.values[0], organization="acme", arrival_ms=ARRIVAL_MS)
    assert isinstance(event, UsageEvent)
    assert event.type == "llm.request"


def test_other_languages_say_the_same() -> None:
    for language in ("java", "go", "javascript"):
        (code,) = blocks(language)
        assert USAGE_EVENTS in code
        assert '"customer-42"' in code
        assert "acme" in code


def test_the_event_at_the_top_is_taken() -> None:
    taken = check_for_http(blocks("json")[0].encode(), organization="acme", now_ms=ARRIVAL_MS)
    assert isinstance(taken, HttpEvent)
    assert taken.event.subject == "customer-42"


def test_the_body_of_the_curl_line_is_taken() -> None:
    (command,) = blocks("sh")
    (body,) = re.findall(r"-d '(.*?)'", command, re.DOTALL)
    answer = json.loads(blocks("json")[1])
    taken = [check_for_http(raw, organization="acme", now_ms=ARRIVAL_MS) for raw in split_batch(body.encode())]
    assert all(isinstance(event, HttpEvent) for event in taken)
    assert answer == {"accepted": len(taken), "rejected": []}


async def _read(settings: Settings, topic: str, partition: int) -> RecordBatch:
    async with LogReader(settings.kafka, topic) as reader:
        _, end = (await reader.bounds([partition]))[partition]
        assert end == 1, "the event is not on its home partition"
        return await reader.read_all(partition, 0, end)
