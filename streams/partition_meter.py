"""Meters one partition: decide a block, forward what lives elsewhere, commit it, remember its ids.

What a crash leaves behind, by the step it comes after:
1. decide              nothing.
2. forward             copies at home under the same ids; forwarded again, they are ordinary duplicates there.
3. commit to Postgres  the block, whole; the index is behind and catches up from the log.
4. remember ids        nothing: the position on disk says from where the log is read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import psycopg

from metering.blocks import RULES_VERSION, Outcome
from metering.catalogue import Catalogue
from metering.decode import BlockDecoder, DecodedBlock
from metering.first_seen import DUPLICATE_WINDOW_MS
from metering.records import FIRST_ARRIVAL_HEADER, ORGANIZATION_HEADER, RecordBatch
from metering.settle import Settled
from runtime.errors import UnexpectedError
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from runtime.telemetry import Telemetry
from sinks.first_seen.index import FirstSeenIndex
from sinks.kafka.log_reader import LogReader
from sinks.kafka.producer import EventProducer, OutgoingRecord
from sinks.kafka.topic_identity import TopicIdentity
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.blocks import BlockWriter, Committed
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.folding import fold_old_blocks
from sinks.postgres.pool import connect
from sinks.postgres.positions import begin_partition
from streams.decisions import decide_block, remember_block

log = get_logger(__name__)
T = TypeVar("T")
P = ParamSpec("P")
_CATCH_UP_RECORDS = 50_000


@dataclass(slots=True)
class MeteringTools:
    """What the partitions of one worker share."""

    topic: TopicIdentity
    postgres: PostgresSettings
    index_dir: Path
    default_organization: str | None
    reader: LogReader
    producer: EventProducer
    threads: Executor
    merges: Executor
    telemetry: Telemetry
    on_progress: Callable[[], None] = lambda: None


class PartitionMeter:
    """Owns a partition's connection, decoder and first-seen index; called by one lane, one block at a time."""

    def __init__(self, tools: MeteringTools, partition: int) -> None:
        self._tools = tools
        self._partition = partition
        self._connection: psycopg.Connection | None = None
        self._writer: BlockWriter | None = None
        self._index: FirstSeenIndex | None = None
        self._catalogue: Catalogue | None = None
        self._decoder: BlockDecoder | None = None
        self._folded_hour: int | None = None
        self._forwarded_to = 0
        self.catching_up = False
        """True while the index reads the log behind Postgres' position."""

    @property
    def position(self) -> int:
        """Where the partition stands, as far as we know."""
        return self._writer.position if self._writer is not None else 0

    async def meter(self, batch: RecordBatch) -> None:
        """Count a batch; records that are committed already are passed over.

        Raises: Unavailable (repeat the call), UnexpectedError for a gap in the log.
        """
        began = time.monotonic()
        while True:
            writer = await self._run(self._open)
            await self._catch_up(writer.position)
            if batch.to_position <= writer.position:
                return
            if batch.from_position > writer.position:
                raise UnexpectedError(
                    f"The log of {batch.topic}-{self._partition} jumps from {writer.position} to {batch.from_position}."
                )
            batch = batch.slice(writer.position, batch.to_position)
            assert self._catalogue is not None
            # More than one where tables were emptied and the log is counted again: changes lie ahead, not only behind.
            block = next(self._catalogue.pieces(batch))
            settled = await self._decide(block, forwarding=True)
            if await self._run(self._commit, block, settled):
                self._tools.telemetry.block_latency_s.observe(time.monotonic() - began)

    def close(self) -> None:
        """Give the partition's index and connection up."""
        if self._index is not None:
            self._index.close()
        if self._connection is not None:
            self._connection.close()
        self._index = self._connection = self._writer = None

    async def _run(self, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        """Do CPU-bound or blocking work in one of the worker's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._tools.threads, work, *args)

    def _open(self) -> BlockWriter:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._writer = None
            topic = self._tools.topic.topic
            self._connection = connect(self._tools.postgres, service="metering", role=WORKER_ROLE)
            position = begin_partition(self._connection, topic, self._partition)
            self._writer = BlockWriter(self._connection, topic, self._partition, position)
            # Another worker may have decided blocks by a newer one meanwhile: the index has to catch up by it, too.
            self._catalogue = None
        if self._catalogue is None:
            self._load_catalogue()
        if self._index is None:
            self._index = FirstSeenIndex.open(
                self._tools.index_dir / f"{self._tools.topic.topic}-{self._partition}",
                rules_version=RULES_VERSION,
                cluster_id=self._tools.topic.cluster_id,
                topic=f"{self._tools.topic.topic}:{self._tools.topic.topic_id}",
                partition=self._partition,
                merger=self._tools.merges,
            )
        assert self._writer is not None
        return self._writer

    def _load_catalogue(self) -> None:
        assert self._connection is not None
        self._catalogue = read_catalogue(self._connection)
        self._decoder = BlockDecoder(
            self._catalogue,
            partitions=self._tools.topic.partitions,
            default_organization=self._tools.default_organization,
        )

    async def _decide(self, batch: RecordBatch, *, forwarding: bool) -> Settled:
        assert self._decoder is not None
        assert self._index is not None
        tools = self._tools
        return await decide_block(
            batch,
            decoder=self._decoder,
            index=self._index,
            reader=tools.reader,
            threads=tools.threads,
            forward=self._forward if forwarding else None,
        )

    async def _forward(self, decoded: DecodedBlock) -> None:
        """Produce to their homes what lives elsewhere, once in this process however often the block is decided.

        A second copy would only be a duplicate there, but one that nobody can use would be a second dead letter.
        """
        batch = decoded.batch
        due = [(row, home) for row, home in decoded.forwards if batch.offsets[row] >= self._forwarded_to]
        if due:
            await self._tools.producer.send_all(_forwarded(batch, due))
        self._forwarded_to = max(self._forwarded_to, batch.to_position)

    def _commit(self, batch: RecordBatch, settled: Settled) -> bool:
        """Commit the block and remember its ids; False when it has to be looked at again."""
        assert self._writer is not None
        assert self._catalogue is not None
        ended = self._writer.commit(batch, settled.result, catalogue_version=self._catalogue.version)
        if ended is Committed.STALE_CATALOGUE:
            self._load_catalogue()
        if ended is not Committed.DONE:
            self._tools.telemetry.block_redone.labels(cause=ended.name).inc()
            return False
        self._remember(batch, settled)
        self._fold(batch)
        telemetry, partition = self._tools.telemetry, str(self._partition)
        self._tools.on_progress()
        telemetry.blocks.labels(partition=partition).inc()
        for outcome in Outcome:
            telemetry.records.labels(partition=partition, outcome=outcome.name.lower()).inc(
                settled.result.count(outcome)
            )
        for letter in settled.result.dead_letters:
            telemetry.dead_letters.labels(code=letter.code).inc()
        return True

    def _fold(self, batch: RecordBatch) -> None:
        """When an hour has passed in the log, fold the journal's rows of the hours before it."""
        hour = batch.arrival_hour
        if hour is None or hour == self._folded_hour:
            return
        assert self._connection is not None
        fold_old_blocks(self._connection, batch.topic, batch.partition, before_hour=hour)
        self._folded_hour = hour

    def _remember(self, batch: RecordBatch, settled: Settled) -> None:
        assert self._index is not None
        remember_block(self._index, batch, settled)
        if len(batch):
            self._index.expire(int(batch.arrivals_ms[-1]) - 2 * DUPLICATE_WINDOW_MS)

    async def _catch_up(self, position: int) -> None:
        """Bring the index to where Postgres stands, by reading the log; one that is ahead is not of this Postgres."""
        index, catalogue = self._index, self._catalogue
        assert index is not None
        assert catalogue is not None
        if index.held_position == position:
            return
        if index.held_position > position:
            log.warning("first-seen index is ahead of Postgres: begun anew", partition=self._partition)
            index.clear()
        self.catching_up = True
        try:
            began = index.held_position or await self._first_position_needed(position)
            log.info(
                "first-seen index catches up", partition=self._partition, from_position=began, to_position=position
            )
            async for fetched in self._tools.reader.read(
                self._partition, began, position, max_records=_CATCH_UP_RECORDS
            ):
                for batch in catalogue.pieces(fetched):
                    settled = await self._decide(batch, forwarding=False)
                    await self._run(self._remember, batch, settled)
        finally:
            self.catching_up = False

    async def _first_position_needed(self, position: int) -> int:
        """Return where the log has to be read from: what is older makes no duplicate of anything after `position`."""
        first, _ = (await self._tools.reader.bounds([self._partition]))[self._partition]
        if first >= position:
            return position
        last = await self._tools.reader.read_all(self._partition, position - 1, position)
        if not len(last):  # a transaction's marker
            return first
        last_arrival_ms = int(last.arrivals_ms[-1])
        found = await self._tools.reader.position_at(self._partition, last_arrival_ms - 2 * DUPLICATE_WINDOW_MS)
        return first if found is None else max(first, min(found, position))


def _forwarded(batch: RecordBatch, rows: list[tuple[int, int]]) -> list[OutgoingRecord]:
    """Return records as they came, for their homes, with a header more that keeps their first arrival."""
    records = []
    for row, home in rows:
        headers = [(FIRST_ARRIVAL_HEADER, str(batch.arrivals_ms[row]).encode())]
        organization, value = batch.organizations[row], batch.values[row]
        assert value is not None
        if organization is not None:
            headers.append((ORGANIZATION_HEADER, organization))
        records.append(OutgoingRecord(home, batch.keys[row], value, headers))
    return records
