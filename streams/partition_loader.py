"""Follows one partition's journal into ClickHouse, one load at a time.

What a crash leaves behind, by the step it comes after:
1. the intent row (`warehouse_loads`, open)   nothing in ClickHouse; the load is written with the same bounds.
2. some of the insertions                     repeated under their tokens; those that arrived change nothing.
3. the mark (`done`)                          nothing: the next load begins where this one ends.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from metering.records import RecordBatch
from runtime.errors import RefusedToStart
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from runtime.telemetry import Telemetry
from sinks.clickhouse.loads import LOADS_REMEMBERED, LoadWriter
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topic_identity import TopicIdentity
from sinks.postgres.loads import Load, LoadJournal
from streams.delivery import Delivery, repeat_transient
from streams.load_rows import LoadDecoder
from streams.load_shelf import LoadShelf

log = get_logger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

# How often the journal is looked at without a word from Postgres.
_POLL_S = 1.0
# How long a journal that is ahead may wait for its records to be fetched before they are read from the log apart.
_PATIENCE_S = 2.0
_EVERYTHING = 1 << 62


@dataclass(slots=True)
class WarehouseTools:
    """What the partitions of one worker share."""

    topic: TopicIdentity
    postgres: PostgresSettings
    writer: LoadWriter
    default_organization: str | None
    reader: LogReader
    threads: Executor
    telemetry: Telemetry
    max_records: int
    """Of a load."""
    wait_s: float
    """Between the beginnings of two small loads."""
    give_up_s: float
    on_progress: Callable[[], None] = lambda: None


class PartitionLoader:
    """Owns a partition's journal connection and its fetched batches; `run` is its one task."""

    def __init__(self, tools: WarehouseTools, partition: int, *, held_records: int) -> None:
        self.position = 0
        """Where the warehouse stands, as far as we know."""
        self._tools = tools
        self._partition = partition
        self._shelf = LoadShelf(max_records=held_records)
        self._unacked: deque[Delivery] = deque()
        self._journal: LoadJournal | None = None
        self._decoder: LoadDecoder | None = None
        self._word = asyncio.Event()
        self._room = asyncio.Event()
        self._stopping = False
        self._progressed = False
        self._journaled_to = 0
        self._starved_at: float | None = None
        self._began_at = 0.0
        self._last_records = 0

    async def put(self, delivery: Delivery) -> None:
        """Take a fetched batch. Waits for room while loads go on, never for a journal that stands still."""
        while self._shelf.is_full and self._is_loading and not self._stopping:
            self._room.clear()
            await self._room.wait()
        if not self._shelf.put(delivery.value):
            log.info("a batch is let go; the log is read later", partition=self._partition)
        self._unacked.append(delivery)
        self.wake()

    @property
    def _is_loading(self) -> bool:
        """Say whether the journal is ahead of what is held, so that room will be made."""
        span = self._shelf.span
        return span is not None and self._journaled_to > span[0]

    def wake(self) -> None:
        """Look at the journal now."""
        self._word.set()

    def stop(self) -> None:
        """End `run` after the load in hand."""
        self._stopping = True
        self._room.set()
        self.wake()

    async def run(self) -> None:
        """Write loads until stopped. Raises: what `load_next` raises, transient failures after `give_up_s`."""
        try:
            while not self._stopping:
                await self._pace()
                await repeat_transient(self._step, give_up_s=self._tools.give_up_s, telemetry=self._tools.telemetry)
                if not self._progressed:
                    await self._wait_for_word(_POLL_S)
        finally:
            self.close()

    def close(self) -> None:
        """Let another worker claim the partition."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def load_next(self) -> bool:
        """Write one load and say so; False where there is none to write yet.

        Raises: Unavailable (repeat the call), UnexpectedError where log and journal differ, RefusedToStart.
        """
        began = time.monotonic()
        load = await self._run(self._begin, self._reach())
        if load is None:
            return False
        records = await self._read(load) if load.counted else None
        await self._run(self._write, load, records)
        self._finished(load, 0 if records is None else len(records), began)
        return True

    async def _read(self, load: Load) -> RecordBatch:
        records = self._shelf.read(load.from_position, load.to_position)
        if records is None:
            log.info("a load is read from the log apart", partition=self._partition, load=load.id)
            records = await self._tools.reader.read_all(self._partition, load.from_position, load.to_position)
        return records

    async def _step(self) -> None:
        self._progressed = await self.load_next()

    async def _pace(self) -> None:
        """Small loads keep their distance: every insertion makes parts, which ClickHouse has to merge."""
        due_at = self._began_at + self._tools.wait_s
        enough = self._tools.max_records // 4
        while self._last_records < enough and self._shelf.records < enough and not self._stopping:
            left_s = due_at - time.monotonic()
            if left_s <= 0:
                break
            await self._wait_for_word(left_s)

    async def _wait_for_word(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._word.wait()
        except TimeoutError:
            return
        self._word.clear()

    def _reach(self) -> int:
        """Return how far the next load may go: as far as batches are held, or anywhere once they fail to come."""
        if self._starved_at is not None and time.monotonic() - self._starved_at > _PATIENCE_S:
            return _EVERYTHING
        span = self._shelf.span
        if span is None:
            return self.position
        return span[1] if span[0] <= self.position else span[0]

    async def _run(self, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tools.threads, work, *args)

    def _begin(self, reach: int) -> Load | None:
        """Find the load to write; steps back while another worker still writes this partition's."""
        journal = self._open()
        if journal is None:
            return None
        if not journal.may_load():
            self.close()
            return None
        load = journal.next_load(up_to=max(reach, self.position), max_records=self._tools.max_records)
        self._journaled_to = journal.journaled_to()
        if load is not None:
            return load
        if self._journaled_to <= self.position:
            self._starved_at = None
        elif self._starved_at is None:
            self._starved_at = time.monotonic()
        return None

    def _open(self) -> LoadJournal | None:
        if self._journal is not None and self._journal.is_usable:
            return self._journal
        self._journal = None
        journal = LoadJournal(self._tools.postgres, self._tools.topic.topic, self._partition)
        if not journal.claim():
            journal.close()
            return None
        self.position = journal.position()
        self._journal = journal
        return journal

    def _write(self, load: Load, records: RecordBatch | None) -> None:
        assert self._journal is not None
        if load.begun_before:
            self._refuse_if_forgotten(load)
        if records is not None:
            contents = self._journal.contents(load)
            if self._decoder is None or self._decoder.catalogue.version < contents.catalogue_version:
                topic = self._tools.topic
                catalogue = self._journal.catalogue()
                self._decoder = LoadDecoder(catalogue, topic.partitions, self._tools.default_organization)
            self._tools.writer.write(load.id, *self._decoder.rows(load, contents, records))
        self._journal.finish(load)

    def _refuse_if_forgotten(self, load: Load) -> None:
        """Refuse to repeat a load whose tokens ClickHouse may have forgotten, unless nothing of it arrived."""
        assert self._journal is not None
        if self._journal.loads_since(load) < LOADS_REMEMBERED:
            return
        if self._tools.writer.holds(load.id, load.partition):
            raise RefusedToStart(
                f"Warehouse load {load.id} was left open while {LOADS_REMEMBERED} others were written, and a part of "
                "it is in ClickHouse, which may count it again. Run `meterstream rebuild clickhouse`."
            )

    def _finished(self, load: Load, records: int, began: float) -> None:
        self.position = load.to_position
        self._starved_at = None
        self._began_at, self._last_records = began, records
        self._shelf.forget(self.position)
        self._room.set()
        while self._unacked and self._unacked[0].value.to_position <= self.position:
            self._unacked.popleft().ack()
        self._tools.on_progress()
        self._tools.telemetry.loads.labels(partition=str(self._partition)).inc()
        self._tools.telemetry.load_latency_s.observe(time.monotonic() - began)
