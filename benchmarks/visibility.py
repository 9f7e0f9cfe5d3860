"""How long an event takes from the producer until its number can be read: in Postgres, and through ClickHouse.

Beside a steady load, probes are sent whose subjects nobody else has; each is looked for until it is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import psycopg

from benchmarks.engines import wait_until
from benchmarks.figures import Figure, WrongNumbers, percentile
from benchmarks.load import Load, LoadShape, Record
from benchmarks.producing import Feed
from benchmarks.session import Session
from benchmarks.tenant import Tenant, make_tenant
from benchmarks.workers import METERING, WAREHOUSE, running
from metering.partitions import home_partition
from runtime.clock import utc_now
from runtime.settings import Settings
from sinks.clickhouse.client import connect
from sinks.clickhouse.usage import query_meter

_EVENTS_A_SECOND = 5_000
_PROBES_A_SECOND = 20
# Linger is part of what a producer waits for; 5 ms is librdkafka's own default.
_LINGER_MS = 5
_ASKED_AT_ONCE = 50
_PROBE = (
    '{{"specversion":"1.0","id":"{subject}","source":"app/gateway","type":"llm.request","subject":"{subject}",'
    '"time":"{time}","organization":"bench","data":{{"tokens":1}}}}'
)
Look = Callable[[Sequence[str]], set[str]]


class Probes:
    """What was sent when; looked for by a thread a store."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self.sent_at: dict[str, float] = {}

    def make(self) -> Record:
        """Return the next probe, and take the time."""
        subject = f"probe-{len(self.sent_at):06d}"
        body = _PROBE.format(subject=subject, time=utc_now().isoformat())
        self.sent_at[subject] = time.perf_counter()
        return Record(home_partition(subject, self._partitions), subject.encode(), body.encode())


class Watcher(threading.Thread):
    """Looks for probes in one store until told to end."""

    def __init__(self, probes: Probes, look: Look, *, every_s: float) -> None:
        super().__init__(daemon=True)
        self.seen_ms: dict[str, float] = {}
        self.failure: Exception | None = None
        self._probes, self._look, self._every_s = probes, look, every_s
        self._ended = threading.Event()

    def run(self) -> None:
        """Look, until the end."""
        try:
            while not self._ended.wait(self._every_s):
                waiting = [subject for subject in list(self._probes.sent_at) if subject not in self.seen_ms]
                found = self._look(waiting) if waiting else set()
                now = time.perf_counter()
                for subject in found:
                    self.seen_ms[subject] = (now - self._probes.sent_at[subject]) * 1e3
        except Exception as exc:  # told by `end`, in the thread that waits
            self.failure = exc

    def end(self, timeout_s: float) -> None:
        """Wait for the last probe. Raises: TimeoutError when one never comes, what looking raised."""
        wanted = len(self._probes.sent_at)

        def done() -> bool:
            return self.failure is not None or len(self.seen_ms) >= wanted

        try:
            wait_until("every probe is visible", done, timeout_s=timeout_s)
        finally:
            self._ended.set()
            self.join()
        if self.failure is not None:
            raise WrongNumbers(f"looking for probes failed: {self.failure}") from self.failure


def visibility(session: Session) -> Iterator[Figure]:
    """Send 5,000 events per second, with both workers running, and look for the probes among them."""
    kafka = session.empty_log()
    seconds = session.options.scaled(20, 4)
    with session.engines.fresh(kafka) as settings:
        tenant = make_tenant(settings)
        probes = Probes(kafka.partitions)
        with (
            running(settings, "metering", METERING) as metering,
            running(settings, "warehouse", WAREHOUSE) as warehouse,
            _looking(settings, tenant) as looks,
        ):
            metering.wait_ready()
            warehouse.wait_ready()
            feed = Feed(kafka, linger_ms=_LINGER_MS)
            _send(feed, LoadShape(5 * _EVENTS_A_SECOND, seed=4), lambda: None, kafka.partitions)  # warm-up
            watchers = [Watcher(probes, looks.postgres, every_s=0.01), Watcher(probes, looks.clickhouse, every_s=0.05)]
            for watcher in watchers:
                watcher.start()
            _send(feed, LoadShape(seconds * _EVENTS_A_SECOND, seed=5), _probing(probes, feed), kafka.partitions)
            for watcher in watchers:
                watcher.end(timeout_s=30)
    on = {"events_a_second": _EVENTS_A_SECOND, "seconds": seconds, "probes": len(probes.sent_at)}
    for store, watcher in zip(("postgres", "clickhouse"), watchers, strict=True):
        times = watcher.seen_ms.values()
        details = {"ms_p50": round(percentile(times, 0.5)), "ms_max": round(max(times))}
        yield Figure(f"visible_in_{store}_p99", percentile(times, 0.99), "ms", target=1_000, on=on, details=details)


def _send(feed: Feed, shape: LoadShape, tick: Callable[[], None], partitions: int) -> None:
    until = utc_now() + timedelta(seconds=shape.events / _EVENTS_A_SECOND)
    load = Load(shape, partitions=partitions, until=until)
    feed.send_paced(load.records(), a_second=_EVENTS_A_SECOND, tick=tick)


def _probing(probes: Probes, feed: Feed) -> Callable[[], None]:
    began = time.perf_counter()

    def probe() -> None:
        if len(probes.sent_at) < (time.perf_counter() - began) * _PROBES_A_SECOND:
            feed.send(probes.make())

    return probe


class _looking:  # noqa: N801  # reads as what it is in `with`
    """The two ways to ask whether probes are counted."""

    def __init__(self, settings: Settings, tenant: Tenant) -> None:
        self._postgres = psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True)
        self._clickhouse = connect(settings.clickhouse, service="bench")
        self._tenant = tenant

    def __enter__(self) -> _looking:
        return self

    def __exit__(self, *_: object) -> None:
        self._postgres.close()
        self._clickhouse.close()

    def postgres(self, subjects: Sequence[str]) -> set[str]:
        """Ask the totals."""
        rows = self._postgres.execute(
            "select subject from usage_minutes where meter_id = %s and subject = any(%s)",
            (self._tenant.meters[0].id, list(subjects)),
        ).fetchall()
        return {str(row[0]) for row in rows}

    def clickhouse(self, subjects: Sequence[str]) -> set[str]:
        """Ask as the API does, for as many subjects at once as it takes."""
        parts = (subjects[start : start + _ASKED_AT_ONCE] for start in range(0, len(subjects), _ASKED_AT_ONCE))
        return {subject for part in parts for subject in self._in_clickhouse(part)}

    def _in_clickhouse(self, subjects: Sequence[str]) -> set[str]:
        now = utc_now()
        rows = query_meter(
            self._clickhouse,
            self._tenant.meters[0],
            organization_id=self._tenant.id,
            from_at=now - timedelta(hours=1),
            to_at=now + timedelta(hours=1),
            subjects=list(subjects),
            group_by=["subject"],
        )
        return {str(row.subject) for row in rows}
