"""Metering with a first-seen index that already holds many ids: its pace, and the worker's memory."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from benchmarks.metering_run import run_metering
from benchmarks.session import FilledLog, Session
from metering.blocks import RULES_VERSION
from metering.identities import Keys
from metering.topics import USAGE_EVENTS
from runtime.clock import utc_now
from sinks.first_seen.index import FirstSeenIndex
from sinks.kafka.topics import check_topic

_BLOCK = 300_000


def metering_ids(session: Session) -> Iterator[Figure]:
    """10 million ids; with `full` 100 million, too."""
    log = session.filled_log(session.main_shape())
    for ids in (100_000,) if session.options.quick else (10_000_000, 100_000_000)[: 1 + session.options.full]:
        directory = session.engines.state_dir / "ids"
        try:
            began = time.perf_counter()
            fill_index(log, directory, ids)
            session.say(f"indexed {ids:,} ids in {time.perf_counter() - began:.0f} s")
            # Opening 100 million ids takes a while: of the time limit, not of the pace.
            run = run_metering(session.engines, log, limit_s=120, index_dir=directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        on = {**log.named(), "meters": 2, "ids_indexed_before": ids}
        name = f"metering_{ids // 1_000_000}M_ids" if ids >= 1_000_000 else f"metering_{ids}_ids"
        yield Figure(
            name,
            run.pace.a_second,
            "events/s",
            baseline=session.stock_events_a_second,
            on=on,
            details=run.details(),
        )
        yield Figure(f"{name}_memory", run.rss_mb, "MB", target=500, on=on, details={"uss_mb": round(run.own_mb)})


def fill_index(log: FilledLog, directory: Path, ids: int) -> None:
    """Make the index of every partition as a worker keeps it, with ids that no event has, at position 0 of the log."""
    identity = asyncio.run(check_topic(log.kafka, USAGE_EVENTS))
    random = np.random.default_rng(7)
    now_ms = int(utc_now().timestamp() * 1_000)
    for partition in range(identity.partitions):
        index = FirstSeenIndex.open(
            directory / f"{identity.topic}-{partition}",
            rules_version=RULES_VERSION,
            cluster_id=identity.cluster_id,
            topic=f"{identity.topic}:{identity.topic_id}",
            partition=partition,
        )
        with index:
            left = ids // identity.partitions
            while left:
                count = min(left, _BLOCK)
                hi, lo, bodies = random.integers(0, 2**64, (3, count), dtype=np.uint64)
                numbers = np.arange(count)
                index.add(Keys(hi, lo), numbers, np.full(count, now_ms), bodies, position=0)
                left -= count
