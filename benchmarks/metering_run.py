"""One run of `meterstream worker metering` over a prefilled log, measured from the journal that it writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.books import Books, Pace
from benchmarks.engines import Engines
from benchmarks.session import FilledLog
from benchmarks.tenant import make_tenant
from benchmarks.workers import METERING, Child, running

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class MeteringRun:
    """What one run showed; its totals were right."""

    pace: Pace
    cpu_us: dict[str, float]
    """Processor time per event, by process."""
    rows_an_event: float
    rss_mb: float
    own_mb: float
    """Of the worker at the end: resident, and without what it shares or maps from files."""

    def details(self) -> dict[str, Any]:
        """Return what a figure tells besides its value."""
        return {
            "measured_events": self.pace.records,
            "measured_s": round(self.pace.seconds, 2),
            "blocks": self.pace.blocks,
            "cpu_us_per_event": self.cpu_us,
            "totals_written_per_event": self.rows_an_event,
            "worker_rss_mb": round(self.rss_mb),
            "worker_uss_mb": round(self.own_mb),
        }


@dataclass(slots=True)
class _Clock:
    """Takes the processors' time between the first blocks and the last."""

    engines: Engines
    child: Child
    begun: tuple[int, dict[str, float]] | None = None

    def sample(self) -> dict[str, float]:
        return {"worker": self.child.cpu_seconds(), **self.engines.cpu_seconds()}

    def cpu_us(self, records: int) -> dict[str, float]:
        if self.begun is None or records == self.begun[0]:
            return {}
        before, used = self.begun
        return {
            name: round((seconds - used[name]) / (records - before) * 1e6, 2) for name, seconds in self.sample().items()
        }


def run_metering(
    engines: Engines,
    log: FilledLog,
    *,
    meters: int = 2,
    limit_s: float = 60.0,
    index_dir: Path | None = None,
    program: Sequence[str] = METERING,
) -> MeteringRun:
    """Meter the log, or as much of it as `limit_s` allows, and hold the totals against the generator.

    The first blocks, one per partition, are left out of the pace: they hold start-up and empty caches. `index_dir`: a
    first-seen index that has entries already. `program`: another one than the worker, to the same effect.

    Raises: WrongNumbers, PartFailed.
    """
    with engines.fresh(log.kafka, index_dir=index_dir) as settings:
        tenant = make_tenant(settings, meters=meters)
        skipped = log.kafka.partitions
        with Books(settings) as books:
            with running(settings, "metering", program) as child:
                clock = _Clock(engines, child)
                _watch(clock, books, log.load.shape.events, skipped, time.monotonic() + limit_s)
                cpu_us = clock.cpu_us(books.progress().records)
                rss_mb, own_mb = child.memory_mb()
            books.check(log.load.expected(books.positions()), tenant.meters)
            pace = books.commits(first=skipped, last=settings.worker.threads)
            return MeteringRun(pace, cpu_us, books.rows_an_event(), rss_mb, own_mb)


def _watch(clock: _Clock, books: Books, events: int, skipped: int, deadline: float) -> None:
    """Return when all is metered or the time is over; start the clock after the first blocks."""
    while True:
        time.sleep(_POLL_S)
        progress = books.progress()
        if clock.begun is None and progress.blocks >= skipped:
            clock.begun = (progress.records, clock.sample())
        if progress.records >= events or time.monotonic() > deadline:
            return
        assert clock.child.pid  # raises, with its log, when the worker ended by itself
