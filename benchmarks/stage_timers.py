"""The metering worker with a clock around each stage: where an event's time goes. A program of its own.

`python -m benchmarks.stage_timers ANSWER` is `meterstream worker metering` until SIGTERM, then writes to ANSWER.
"""

from __future__ import annotations

import functools
import json
import runpy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sinks.first_seen.index
import streams.decisions
import streams.partition_meter
import streams.transport
from metering.decode import BlockDecoder
from runtime.settings import Settings
from sinks.first_seen.index import FirstSeenIndex
from sinks.postgres.blocks import BlockWriter

_STAGES = ("decode", "look_up", "settle", "postgres", "index_add", "index_merge")


@dataclass(slots=True)
class Stage:
    """The calls of one stage: processor time of their thread, and the time that passed."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, timed."""

        @functools.wraps(work)
        def timed(*args: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return work(*args, **named)
            finally:
                self.cpu.append(time.thread_time() - cpu)
                self.wall.append(time.perf_counter() - wall)

        return timed

    def seconds(self, skipped: int) -> dict[str, float]:
        """Return the sums without the first calls."""
        return {"cpu": sum(self.cpu[skipped:]), "wall": sum(self.wall[skipped:])}


@dataclass(slots=True)
class Thread:
    """A thread that works for all blocks: its processor time when blocks were decoded, read off in the thread."""

    marks: list[tuple[int, float]] = field(default_factory=list)

    def mark(self, records: int) -> None:
        """Note how many records had gone by, and the thread's time."""
        self.marks.append((records, time.thread_time()))

    def cpu_us(self, skipped: int) -> float | None:
        """Return µs a record between the first mark at which enough had gone by and the last."""
        later = [mark for mark in self.marks if mark[0] >= skipped]
        if len(later) < 2 or later[-1][0] == later[0][0]:
            return None
        return (later[-1][1] - later[0][1]) / (later[-1][0] - later[0][0]) * 1e6


class Timers:
    """The stages, put around the functions that do their work."""

    def __init__(self) -> None:
        self.stages = {name: Stage() for name in _STAGES}
        self.fetcher, self.loop = Thread(), Thread()
        self._block_records: list[int] = []
        self._fetched = self._consumed = 0

    def install(self) -> None:
        """Put the clocks in place, in this process only."""
        stages: Any = self.stages
        decode = stages["decode"].around(BlockDecoder.decode)
        modules: Any = (streams.decisions, streams.partition_meter, streams.transport, sinks.first_seen.index)
        decisions, partition_meter, transport, index = modules

        def count_and_decode(decoder: BlockDecoder, batch: Any) -> Any:
            self._block_records.append(len(batch))
            return decode(decoder, batch)

        BlockDecoder.decode = count_and_decode  # type: ignore[method-assign,assignment]
        FirstSeenIndex.lookup = stages["look_up"].around(FirstSeenIndex.lookup)  # type: ignore[method-assign]
        BlockWriter.commit = stages["postgres"].around(BlockWriter.commit)  # type: ignore[method-assign]
        decisions.settle = stages["settle"].around(decisions.settle)
        partition_meter.remember_block = stages["index_add"].around(partition_meter.remember_block)
        index.merge_runs = stages["index_merge"].around(index.merge_runs)
        self._mark_threads(transport, partition_meter)

    def _mark_threads(self, transport: Any, partition_meter: Any) -> None:
        drain, decide = transport.wait_and_drain, partition_meter.decide_block

        async def drain_and_mark(*args: Any) -> Any:
            batches = await drain(*args)
            if batches:
                self._fetched += sum(map(len, batches))
                self.fetcher.mark(self._fetched)
            return batches

        async def mark_and_decide(batch: Any, **named: Any) -> Any:
            self._consumed += len(batch)
            self.loop.mark(self._consumed)
            return await decide(batch, **named)

        transport.wait_and_drain = drain_and_mark
        partition_meter.decide_block = mark_and_decide

    def answer(self, skipped: int) -> dict[str, dict[str, float | None]]:
        """Return µs a record by stage, without the first blocks."""
        skipped = min(skipped, len(self._block_records) // 2)  # in a small run
        records = sum(self._block_records[skipped:])
        costs: dict[str, dict[str, float | None]] = {
            name: {kind: seconds / records * 1e6 for kind, seconds in stage.seconds(skipped).items()}
            for name, stage in self.stages.items()
            if records
        }
        skipped_records = sum(self._block_records[:skipped])
        costs["fetch_thread"] = {"cpu": self.fetcher.cpu_us(skipped_records)}
        costs["event_loop"] = {"cpu": self.loop.cpu_us(skipped_records)}
        return costs


def main() -> None:
    """Run the command itself, with all that it sets in its process, until SIGTERM."""
    answer = Path(sys.argv[1])
    timers = Timers()
    timers.install()
    sys.argv = ["meterstream", "worker", "metering"]
    try:
        runpy.run_module("cli.main", run_name="__main__", alter_sys=True)
    finally:
        answer.write_text(json.dumps(timers.answer(skipped=Settings().kafka.partitions)))


if __name__ == "__main__":
    main()
