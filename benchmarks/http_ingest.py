"""Events a second over HTTP, in batches of 100 on several connections; every acknowledged one is in the log."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

from benchmarks.figures import Figure, WrongNumbers, percentile
from benchmarks.load import Load, LoadShape
from benchmarks.producing import count_records
from benchmarks.session import Session
from benchmarks.tenant import make_tenant
from benchmarks.workers import running_api
from runtime.clock import utc_now
from sinks.http_api.client import ApiClient

_BATCH = 100
_CONNECTIONS = 8
_WARM_UP = 0.1


class _Sender:
    """Sends batches on its own connections and keeps the time of each."""

    def __init__(self, client: ApiClient, batches: list[list[bytes]]) -> None:
        self._client = client
        self._batches = iter(batches)
        self.accepted = 0
        self.latencies_ms: list[float] = []
        self.done_at: list[float] = []

    async def send(self) -> None:
        """Send until none are left."""
        for batch in self._batches:
            began = time.perf_counter()
            answer = await self._client.send_events(batch)
            ended = time.perf_counter()
            self.accepted += answer.accepted
            self.latencies_ms.append((ended - began) * 1e3)
            self.done_at.append(ended)


def http_ingest(session: Session) -> Iterator[Figure]:
    """Start the API as a process of its own and send from this one."""
    kafka = session.empty_log()
    shape = LoadShape(session.options.scaled(300_000, 20_000), seed=3)
    load = Load(shape, partitions=kafka.partitions, until=utc_now())
    bodies = load.bodies()
    batches = list(iter(lambda: list(itertools.islice(bodies, _BATCH)), []))
    with session.engines.fresh(kafka) as settings:
        tenant = make_tenant(settings)
        with running_api(settings) as child:
            before_s = child.cpu_seconds()
            sender = asyncio.run(_send(child.url, tenant.key, batches))
            cpu_us = (child.cpu_seconds() - before_s) / shape.events * 1e6
    stored = count_records(kafka)
    if not shape.events == sender.accepted == stored:
        raise WrongNumbers(f"{shape.events} sent, {sender.accepted} accepted, {stored} in the log")
    skipped = int(len(sender.done_at) * _WARM_UP)
    measured = sorted(sender.done_at)[skipped:]
    yield Figure(
        "http_ingest",
        (len(measured) - 1) * _BATCH / (measured[-1] - measured[0]),
        "events/s",
        target=20_000,
        on={"events": shape.events, "batch": _BATCH, "connections": _CONNECTIONS, "partitions": kafka.partitions},
        details={
            "stored": stored,
            "request_ms_p50": round(percentile(sender.latencies_ms, 0.5), 1),
            "request_ms_p99": round(percentile(sender.latencies_ms, 0.99), 1),
            "cpu_us_per_event": {"api": round(cpu_us, 1)},
        },
    )


async def _send(url: str, key: str, batches: list[list[bytes]]) -> _Sender:
    async with ApiClient(url, key) as client:
        sender = _Sender(client, batches)
        await asyncio.gather(*(sender.send() for _ in range(_CONNECTIONS)))
    return sender
