"""Replays the log into empty tables beside the live ones, compares them row for row, and swaps them in.

Metering goes on while the bulk is replayed; only for the last blocks, the comparison and the swap do its blocks wait.
An interrupted rebuild has changed nothing: its twins are dropped by the next one.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from metering.blocks import RULES_VERSION
from metering.catalogue import Catalogue
from metering.decode import BlockDecoder
from metering.records import RecordBatch
from runtime.errors import ConflictError
from runtime.settings import Settings
from sinks.comparison import TableComparison
from sinks.first_seen.index import FirstSeenIndex
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topic_identity import TopicIdentity
from sinks.postgres import rebuild
from sinks.postgres.blocks import BlockWriter, Committed
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.folding import fold_span, hold_journal_still
from sinks.postgres.pool import connect
from sinks.postgres.positions import begin_partition, read_positions
from streams.decisions import decide_block, remember_block

Progress = Callable[[int, int, int], None]
"""Called with (partition, position reached, position wanted)."""

_PIECE_RECORDS = 50_000


@dataclass(slots=True)
class _Replay:
    """What the replay of one partition stands on."""

    partition: int
    writer: BlockWriter
    index: FirstSeenIndex


async def rebuild_postgres(settings: Settings, topic: TopicIdentity, *, progress: Progress) -> list[TableComparison]:
    """Rebuild everything in Postgres that derives from usage events; returns how old and new compare.

    Raises: RefusedToStart when the log no longer reaches back to its beginning, Unavailable; then nothing is changed.
    """
    scratch = settings.state_dir / "rebuild"
    shutil.rmtree(scratch, ignore_errors=True)
    # No time limit: locks are waited for, and the comparison reads everything.
    postgres = settings.postgres.model_copy(update={"statement_timeout_s": 0.0})
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        connection = stack.enter_context(closing(connect(postgres, service="rebuild", search_path=rebuild.SEARCH_PATH)))
        live = stack.enter_context(closing(connect(postgres, service="rebuild")))
        reader = await stack.enter_async_context(LogReader(settings.kafka, topic.topic))
        merges = stack.enter_context(ThreadPoolExecutor(1))
        threads = stack.enter_context(ThreadPoolExecutor(1))
        rebuild.begin_rebuild(connection)
        hold_journal_still(connection)
        replayer = _Replayer(topic, settings.worker.default_organization, connection, live, reader, threads, progress)
        replays = [
            _Replay(
                partition,
                BlockWriter(connection, topic.topic, partition, begin_partition(connection, topic.topic, partition)),
                stack.enter_context(_scratch_index(scratch, topic, partition, merges)),
            )
            for partition in range(topic.partitions)
        ]
        await replayer.replay(replays)
        rebuild.lock_partitions(connection, topic.partitions)
        await replayer.replay(replays)
        tables = rebuild.compare_tables(connection, topic.topic)
        rebuild.swap_tables(connection, topic.topic)
        rebuild.end_rebuild(connection)
        return tables


def _scratch_index(scratch: Path, topic: TopicIdentity, partition: int, merges: ThreadPoolExecutor) -> FirstSeenIndex:
    return FirstSeenIndex.open(
        scratch / str(partition),
        rules_version=RULES_VERSION,
        cluster_id=topic.cluster_id,
        topic=topic.topic,
        partition=partition,
        merger=merges,
    )


@dataclass(slots=True)
class _Replayer:
    """Drives replays; `live` reads the live tables."""

    topic: TopicIdentity
    default_organization: str | None
    connection: psycopg.Connection
    live: psycopg.Connection
    reader: LogReader
    threads: ThreadPoolExecutor
    progress: Progress

    async def replay(self, replays: list[_Replay]) -> None:
        """Bring every partition to where the live tables stand now."""
        catalogue = read_catalogue(self.live)
        decoder = BlockDecoder(
            catalogue, partitions=self.topic.partitions, default_organization=self.default_organization
        )
        wanted = read_positions(self.live, self.topic.topic)
        for replay in replays:
            target = wanted.get(replay.partition, 0)
            await self._replay_partition(replay, decoder, catalogue, target)

    async def _replay_partition(
        self, replay: _Replay, decoder: BlockDecoder, catalogue: Catalogue, target: int
    ) -> None:
        """Follow the journal's blocks; where it has none (it was emptied), blocks of our own cut."""
        for known in rebuild.read_journal(self.live, self.topic.topic, replay.partition, replay.writer.position):
            if known.to_position > target:
                break
            await self._replay_span(replay, decoder, catalogue, (known.from_position, catalogue.version))
            await self._replay_span(replay, decoder, catalogue, (known.to_position, known.catalogue_version))
            fold_span(self.connection, self.topic.topic, replay.partition, known.from_position, known.to_position)
            self.progress(replay.partition, replay.writer.position, target)
        await self._replay_span(replay, decoder, catalogue, (target, catalogue.version))
        self.progress(replay.partition, replay.writer.position, target)

    async def _replay_span(
        self, replay: _Replay, decoder: BlockDecoder, catalogue: Catalogue, end: tuple[int, int]
    ) -> None:
        """Replay up to a position, in pieces, journaled as decided by that version of the catalogue."""
        to_position, journal_version = end
        start = replay.writer.position
        if start >= to_position:
            return
        async for batch in self.reader.read(replay.partition, start, to_position, max_records=_PIECE_RECORDS):
            for piece in catalogue.pieces(batch):
                await self._replay_block(replay, decoder, piece, (catalogue.version, journal_version))

    async def _replay_block(
        self, replay: _Replay, decoder: BlockDecoder, block: RecordBatch, versions: tuple[int, int]
    ) -> None:
        settled = await decide_block(
            block, decoder=decoder, index=replay.index, reader=self.reader, threads=self.threads
        )
        ended = await asyncio.to_thread(
            replay.writer.commit, block, settled.result, catalogue_version=versions[0], journal_version=versions[1]
        )
        if ended is not Committed.DONE:
            raise ConflictError("Meters or organizations changed during the rebuild: start it again.")
        remember_block(replay.index, block, settled)
