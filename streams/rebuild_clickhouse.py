"""Replays every warehouse load from the log into empty tables beside the live ones, compares them, and swaps.

Metering and the API go on. Loading goes on while the bulk is replayed; for the last loads, the comparison and the swap
the loaders step back. An interrupted rebuild has changed nothing: its twin database is dropped by the next one.
It needs the login that owns Postgres' tables, since it sets the number of the next load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field

import numpy as np
import psycopg
from numpy.typing import NDArray

from metering.records import RecordBatch
from runtime.errors import ConflictError, UnexpectedError
from runtime.settings import Settings
from sinks.clickhouse import rebuild
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.loads import LoadWriter
from sinks.comparison import TableComparison
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topic_identity import TopicIdentity
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.load_replay import (
    ask_loaders_to_step_back,
    number_loads_from,
    read_journal_over,
    read_loads,
)
from sinks.postgres.loads import Load, LoadContents, LoadJournal
from sinks.postgres.pool import connect
from streams.load_rows import LoadDecoder

Progress = Callable[[int, int, int], None]
"""Called with (partition, position reached, position wanted)."""

_PIECE_RECORDS = 50_000
# A load takes seconds; a loader looks whether it should step back before each.
_STEP_BACK_S = 120.0


async def rebuild_clickhouse(settings: Settings, topic: TopicIdentity, *, progress: Progress) -> list[TableComparison]:
    """Rebuild ClickHouse's usage tables; returns how old and new compare.

    Raises: RefusedToStart when the log no longer reaches back to its beginning, ConflictError when a loader does not
    step back, Unavailable; then nothing is changed.
    """
    # No time limits: the comparison reads everything.
    postgres = settings.postgres.model_copy(update={"statement_timeout_s": 0.0})
    clickhouse = settings.clickhouse.model_copy(update={"query_timeout_s": 3_600.0})
    async with AsyncExitStack() as stack:
        connection = stack.enter_context(closing(connect(postgres, service="rebuild")))
        reader = await stack.enter_async_context(LogReader(settings.kafka, topic.topic))
        live = stack.enter_context(closing(connect_clickhouse(clickhouse, service="rebuild")))
        scratch = stack.enter_context(rebuild.scratch_database(clickhouse))
        replayer = _Replayer(
            topic,
            connection,
            reader,
            LoadDecoder(read_catalogue(connection), topic.partitions, settings.worker.default_organization),
            [LoadWriter(scratch, topic.topic)],
            progress,
        )
        await replayer.replay(done_only=True)
        ask_loaders_to_step_back(connection)
        journals = [
            stack.enter_context(closing(LoadJournal(postgres, topic.topic, partition)))
            for partition in range(topic.partitions)
        ]
        await _claim(journals)
        number_loads_from(connection, rebuild.last_load(live))
        replayer.decoder = LoadDecoder(
            read_catalogue(connection), topic.partitions, settings.worker.default_organization
        )
        # An open load may be in the live tables in part: it is finished there under its own tokens, too.
        replayer.open_writer = LoadWriter(live, topic.topic)
        await replayer.replay(done_only=False)
        tables = rebuild.compare_tables(live, clickhouse)
        rebuild.swap_tables(scratch, clickhouse)
        for load in replayer.opened:
            journals[load.partition].finish(load)
        return tables


async def _claim(journals: list[LoadJournal]) -> None:
    """Become the only loader of every partition."""
    due = time.monotonic() + _STEP_BACK_S
    for partition, journal in enumerate(journals):
        while not await asyncio.to_thread(journal.claim):
            if time.monotonic() > due:
                raise ConflictError(
                    f"A warehouse worker still loads partition {partition}. Stop it (metering may go on) and run the "
                    "rebuild again."
                )
            await asyncio.sleep(0.2)


Piece = tuple[RecordBatch, NDArray[np.bool_], int]
"""Records, which of them counted, and the version of the catalogue that decided."""


@dataclass(slots=True)
class _Replayer:
    """Writes the loads of all partitions again, each once."""

    topic: TopicIdentity
    connection: psycopg.Connection
    reader: LogReader
    decoder: LoadDecoder
    writers: list[LoadWriter]
    progress: Progress
    open_writer: LoadWriter | None = None
    opened: list[Load] = field(default_factory=list)
    _reached: dict[int, int] = field(default_factory=dict)

    async def replay(self, *, done_only: bool) -> None:
        """Write every load that was not written yet."""
        for partition in range(self.topic.partitions):
            loads = [
                load
                for load in read_loads(self.connection, self.topic.topic, partition, self._reached.get(partition, 0))
                if not (done_only and load.begun_before)
            ]
            if loads:
                await self._replay_partition(partition, loads)

    async def _replay_partition(self, partition: int, loads: list[Load]) -> None:
        wanted = loads[-1].to_position
        pieces = self._pieces(partition, loads)
        for load in loads:
            records, contents = await _gather(pieces, load)
            if load.counted:
                await asyncio.to_thread(self._write, load, contents, records)
            if load.begun_before:
                self.opened.append(load)
            self._reached[partition] = load.to_position
            self.progress(partition, load.to_position, wanted)

    def _write(self, load: Load, contents: LoadContents, records: RecordBatch) -> None:
        rows = self.decoder.rows(load, contents, records)
        for writer in [*self.writers, *([self.open_writer] if load.begun_before and self.open_writer else [])]:
            writer.write(load.id, *rows)

    async def _pieces(self, partition: int, loads: list[Load]) -> AsyncIterator[Piece]:
        """Yield the log from the first load's beginning on, cut at the loads' ends, with what the journal counted."""
        bounds = iter(loads)
        load = next(bounds)
        for row in read_journal_over(
            self.connection, self.topic.topic, partition, loads[0].from_position, loads[-1].to_position
        ):
            counted = row.counted
            async for batch in self.reader.read(
                partition, row.from_position, row.to_position, max_records=_PIECE_RECORDS
            ):
                mine, counted = counted[: len(batch)], counted[len(batch) :]
                start = max(batch.from_position, loads[0].from_position)
                while start < min(batch.to_position, loads[-1].to_position):
                    end = min(batch.to_position, load.to_position)
                    low, high = np.searchsorted(batch.offsets, [start, end])
                    yield batch.slice(start, end), mine[low:high], row.catalogue_version
                    start = end
                    if end == load.to_position:
                        load = next(bounds, load)


async def _gather(pieces: AsyncIterator[Piece], load: Load) -> tuple[RecordBatch, LoadContents]:
    """Take the pieces of one load. Raises: UnexpectedError where the journal does not have what was loaded."""
    records: list[RecordBatch] = []
    counted: list[NDArray[np.bool_]] = []
    version = 0
    async for batch, bits, decided_by in pieces:
        records.append(batch)
        counted.append(bits)
        version = max(version, decided_by)
        if batch.to_position >= load.to_position:
            break
    contents = LoadContents(np.concatenate(counted) if counted else np.zeros(0, np.bool_), version)
    if not records or records[-1].to_position != load.to_position or contents.counted.sum() != load.counted:
        raise UnexpectedError(
            f"The journal does not have what warehouse load {load.id} took from it. "
            "Run `meterstream rebuild postgres`, then this again."
        )
    return RecordBatch.join(records), contents
