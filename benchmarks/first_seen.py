"""Measure the first-seen index: µs an event, memory, worst block.

`python -m benchmarks.first_seen --ids 10000000 --block 50000` (lookup and insert of blocks with 5 % repeats).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from metering.identities import Keys
from sinks.first_seen import FirstSeenIndex

_REPEATS = 0.05
# Repeats come from the last so many ids: clients resend within minutes, not weeks.
_RECENT = 1_000_000
_TAIL = 2_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of the benchmark measured.

    `tail` is the last 2 M events, `owner` is without the thread of the merges, `rss` is on top of the start.
    """

    ids: int
    block: int
    us_an_event: float
    us_an_event_lookup: float
    us_an_event_tail: float
    cpu_us_an_event: float
    cpu_us_an_event_owner: float
    worst_block_ms: float
    rss_mb: float
    rss_peak_mb: float
    disk_mb: float
    reopen_s: float
    repeats_found: bool


def _mix(numbers: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Hash ids (splitmix64), so that a repeat can be made from its number alone."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def measure(directory: Path, ids: int, block: int) -> Figures:
    """Fill an index up to `ids` identities, block by block, as the metering path does."""
    process = psutil.Process()
    base = process.memory_info().rss
    random = np.random.default_rng(1)
    owner = {"rules_version": 1, "cluster_id": "benchmark", "topic": "events", "partition": 0}
    index = FirstSeenIndex.open(directory, **owner)  # type: ignore[arg-type]
    repeats = int(block * _REPEATS)
    lookups: list[float] = []
    totals: list[float] = []
    peak, made, right = 0, 0, True
    cpu = cpu_owner = 0.0
    while made < ids:
        fresh = np.arange(made, made + block - repeats, dtype=np.uint64)
        old = random.choice(np.arange(max(0, made - _RECENT), made, dtype=np.uint64), min(repeats, made), replace=False)
        numbers = random.permutation(np.concatenate([fresh, old]))
        keys = Keys(_mix(numbers, 1), _mix(numbers, 2))
        offsets = numbers.astype(np.int64)
        started, cpu_started, cpu_owner_started = time.perf_counter(), time.process_time(), time.thread_time()
        seen = index.lookup(keys)
        looked_up = time.perf_counter()
        index.add(keys, offsets, offsets, keys.lo, position=made + block)
        totals.append(time.perf_counter() - started)
        cpu += time.process_time() - cpu_started
        cpu_owner += time.thread_time() - cpu_owner_started
        lookups.append(looked_up - started)
        right = right and bool(np.array_equal(seen.found, numbers < made))
        right = right and bool((seen.offsets[seen.found] == offsets[seen.found]).all())
        made += len(fresh)
        peak = max(peak, process.memory_info().rss)
    rss = process.memory_info().rss
    index.close()
    disk = sum(path.stat().st_size for path in directory.iterdir())
    started = time.perf_counter()
    FirstSeenIndex.open(directory, **owner).close()  # type: ignore[arg-type]
    reopen = time.perf_counter() - started
    events = len(totals) * block
    tail = max(1, _TAIL // block)
    return Figures(
        ids=made,
        block=block,
        us_an_event=round(sum(totals) / events * 1e6, 3),
        us_an_event_lookup=round(sum(lookups) / events * 1e6, 3),
        us_an_event_tail=round(sum(totals[-tail:]) / (len(totals[-tail:]) * block) * 1e6, 3),
        cpu_us_an_event=round(cpu / events * 1e6, 3),
        cpu_us_an_event_owner=round(cpu_owner / events * 1e6, 3),
        worst_block_ms=round(max(totals) * 1e3, 1),
        rss_mb=round((rss - base) / 1e6, 1),
        rss_peak_mb=round((peak - base) / 1e6, 1),
        disk_mb=round(disk / 1e6, 1),
        reopen_s=round(reopen, 2),
        repeats_found=right,
    )


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--block", type=int, default=50_000)
    parser.add_argument("--directory", type=Path, help="where the index is written; a temporary directory if not given")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="first-seen-", dir=arguments.directory))
    try:
        print(json.dumps(asdict(measure(directory, arguments.ids, arguments.block))))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
