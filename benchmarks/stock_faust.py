"""The same job on stock Faust, in its cheapest form: what metering is compared with. A program of its own.

An agent that gets one event at a time, decoded by Faust's own JSON codec; sum and count of each subject in one Faust
table in memory, whose changelog is in Kafka. No duplicates, no minutes, no Postgres, no dead letters: all that is left
out makes it faster.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust


@dataclass(frozen=True, slots=True)
class Job:
    """What to count, and where to say how long it took."""

    servers: str
    topic: str
    partitions: int
    events: int
    skipped: int
    """Of the events: they come before the clock starts."""
    answer: Path


def make_app(job: Job) -> faust.App:
    """Return the app; after the last event it writes what it measured and waits to be stopped."""
    app = faust.App(
        f"stock-{job.topic}",
        broker=f"kafka://{job.servers}",
        store="memory://",
        value_serializer="json",
        topic_partitions=job.partitions,
        topic_replication_factor=1,
        web_enabled=False,
        autodiscover=False,
        datadir=tempfile.mkdtemp(prefix="stock-faust-"),
    )
    source = app.topic(job.topic, key_type=str, value_serializer="json")
    # Both numbers in one table: two would write two changelog records an event.
    totals = app.Table("totals", default=lambda: [0, 0], partitions=job.partitions)
    seen = {"events": 0, "began": 0.0, "cpu": 0.0}

    @app.agent(source)
    async def count_usage(stream: Any) -> None:
        async for event in stream:
            subject = event["subject"]
            tokens, count = totals[subject]
            totals[subject] = [tokens + event["data"]["tokens"], count + 1]
            seen["events"] += 1
            if seen["events"] == job.skipped:
                seen["began"], seen["cpu"] = time.perf_counter(), time.process_time()
            elif seen["events"] == job.events:
                seconds = time.perf_counter() - seen["began"]
                cpu = time.process_time() - seen["cpu"]
                tokens, count = map(sum, zip(*totals.values(), strict=True))
                found = {"seconds": seconds, "cpu": cpu, "sum": tokens, "count": count}
                temporary = job.answer.with_suffix(".tmp")
                temporary.write_text(json.dumps(found))
                temporary.replace(job.answer)

    return app


def main() -> None:
    """Run `python -m benchmarks.stock_faust SERVERS TOPIC PARTITIONS EVENTS SKIPPED ANSWER`."""
    servers, topic, partitions, events, skipped, answer = sys.argv[1:]
    app = make_app(Job(servers, topic, int(partitions), int(events), int(skipped), Path(answer)))
    sys.argv = [sys.argv[0], "worker", "--loglevel=warn", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()
