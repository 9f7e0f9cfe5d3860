"""A modest load for as long as asked: does a worker's memory stay where it is, and are the totals right at the end?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from benchmarks.books import Books
from benchmarks.engines import wait_until
from benchmarks.figures import Figure
from benchmarks.load import Expected, Load, LoadShape
from benchmarks.producing import Feed
from benchmarks.session import Session
from benchmarks.tenant import make_tenant
from benchmarks.workers import METERING, WAREHOUSE, Child, running
from runtime.clock import utc_now
from runtime.settings import KafkaSettings

_EVENTS_A_SECOND = 5_000
_CHUNK_S = 60
_SAMPLE_S = 10.0


@dataclass(slots=True)
class _Memory:
    """Samples of the workers' memory."""

    children: dict[str, Child]
    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, dict[str, tuple[float, float]]]] = field(default_factory=list)

    def tick(self) -> None:
        """Take a sample when it is time."""
        at = time.monotonic() - self.began
        if not self.samples or at - self.samples[-1][0] >= _SAMPLE_S:
            self.take(at)

    def take(self, at: float) -> None:
        """Take a sample and tell it."""
        found = {name: child.memory_mb() for name, child in self.children.items()}
        self.samples.append((at, found))
        told = ", ".join(f"{name} {rss:.0f} MB (own {own:.0f})" for name, (rss, own) in found.items())
        self.say(f"{at:6.0f} s  {told}")

    def rss(self, name: str) -> list[tuple[float, float]]:
        """Return (s, MB) of one worker."""
        return [(at, found[name][0]) for at, found in self.samples]


def soak(session: Session) -> Iterator[Figure]:
    """Run both workers under 5,000 events per second."""
    kafka = session.empty_log()
    with session.engines.fresh(kafka) as settings, Books(settings) as books:
        tenant = make_tenant(settings)
        with running(settings, "metering", METERING) as metering, running(settings, "warehouse", WAREHOUSE) as loader:
            metering.wait_ready()
            loader.wait_ready()
            memory = _Memory({"metering": metering, "warehouse": loader}, session.say)
            expected = _feed(kafka, session.options.minutes or 0.1, memory.tick)
            counted = int(expected.counts.sum())
            wait_until("metering", lambda: books.progress().records >= expected.records, timeout_s=60)
            wait_until("loading", lambda: books.loaded() >= counted, timeout_s=60)
            memory.take(time.monotonic() - memory.began)
        books.check(expected, tenant.meters)
    for name in memory.children:
        samples = memory.rss(name)
        yield Figure(
            f"soak_{name}_memory",
            samples[-1][1],
            "MB",
            target=500,
            on={"events": expected.records, "events_a_second": _EVENTS_A_SECOND, "minutes": session.options.minutes},
            details={"growth_mb_an_hour": _growth(samples), "rss_mb": [[round(at), round(mb)] for at, mb in samples]},
        )


def _feed(kafka: KafkaSettings, minutes: float, tick: Callable[[], None]) -> Expected:
    """Send minute by minute, each with ids of its own; return what all of it adds up to."""
    feed = Feed(kafka, linger_ms=5)
    left_s, seed, parts = round(minutes * 60), 100, []
    while left_s > 0:
        seconds = min(_CHUNK_S, left_s)
        shape = LoadShape(seconds * _EVENTS_A_SECOND, seed=seed)
        load = Load(shape, partitions=kafka.partitions, until=utc_now() + timedelta(seconds=seconds))
        feed.send_paced(load.records(), a_second=_EVENTS_A_SECOND, tick=tick)
        parts.append(load.expected())
        left_s, seed = left_s - seconds, seed + 1
    return Expected(
        records=sum(part.records for part in parts),
        duplicates=sum(part.duplicates for part in parts),
        counts=np.sum([part.counts for part in parts], axis=0),
        sums=np.sum([part.sums for part in parts], axis=0),
    )


def _growth(samples: list[tuple[float, float]]) -> float | None:
    """Return MB an hour over the later two thirds, when there are enough samples to say."""
    later = [sample for sample in samples if sample[0] >= samples[-1][0] / 3]
    if len(later) < 6:
        return None
    at, mb = np.array(later).T
    return round(float(np.polyfit(at, mb, 1)[0]) * 3_600, 1)
