"""Replays the log into empty tables beside the live ones, compares them row for row, and swaps them in.

Metering goes on while the bulk is replayed; only for the last blocks, the comparison and the swap do its blocks wait.
An interrupted rebuild has changed nothing: its twins are dropped by the next one. It needs the login that owns the
tables, since it makes the twins and empties the live ones.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
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
from sinks.postgres.blocks import BlockWriter, Committed, JournalSpan
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

    Raises: RefusedToStart when the log no longer reaches back to its beginning, or another log was counted too,
    Unavailable; then nothing is changed.
    """
    # No time limit: locks are waited for, and the comparison reads everything.
    postgres = settings.postgres.model_copy(update={"statement_timeout_s": 0.0})
    async with AsyncExitStack() as stack:
        connection = stack.enter_context(closing(connect(postgres, service="rebuild", search_path=rebuild.SEARCH_PATH)))
        live = stack.enter_context(closing(connect(postgres, service="rebuild")))
        rebuild.refuse_other_logs(live, topic.topic)
        # First of all: a second rebuild waits here, instead of dropping the twins of the first.
        hold_journal_still(connection)
        rebuild.begin_rebuild(connection)
        reader = await stack.enter_async_context(LogReader(settings.kafka, topic.topic))
        threads = stack.enter_context(ThreadPoolExecutor(1))
        with _scratch_indexes(settings.state_dir / "rebuild", topic) as indexes:
            replays = [
                _Replay(
                    partition,
                    BlockWriter(
                        connection, topic.topic, partition, begin_partition(connection, topic.topic, partition)
                    ),
                    index,
                )
                for partition, index in enumerate(indexes)
            ]
            default = settings.worker.default_organization
            replayer = _Replayer(topic, default, connection, live, reader, threads, progress)
            await replayer.replay(replays)
            # The more was counted meanwhile, the longer the last stretch: metering waits for that one only.
            await replayer.replay(replays)
            rebuild.lock_partitions(connection, topic.partitions)
            await replayer.replay(replays)
            tables = rebuild.compare_tables(connection, topic.topic)
            rebuild.swap_tables(connection, topic.topic)
        rebuild.end_rebuild(connection)
        return tables


@contextmanager
def _scratch_indexes(folder: Path, topic: TopicIdentity) -> Iterator[list[FirstSeenIndex]]:
    """Give an empty index a partition, deleted afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        merges = stack.enter_context(ThreadPoolExecutor(1))
        yield [
            stack.enter_context(
                FirstSeenIndex.open(
                    folder / str(partition),
                    rules_version=RULES_VERSION,
                    cluster_id=topic.cluster_id,
                    topic=topic.topic,
                    partition=partition,
                    merger=merges,
                )
            )
            for partition in range(topic.partitions)
        ]


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
    catalogue: Catalogue = field(init=False)
    decoder: BlockDecoder = field(init=False)

    async def replay(self, replays: list[_Replay]) -> None:
        """Bring every partition to where the live tables stand now."""
        self._load_catalogue()
        wanted = read_positions(self.live, self.topic.topic)
        for replay in replays:
            await self._replay_partition(replay, wanted.get(replay.partition, 0))

    def _load_catalogue(self) -> None:
        self.catalogue = read_catalogue(self.live)
        self.decoder = BlockDecoder(
            self.catalogue, partitions=self.topic.partitions, default_organization=self.default_organization
        )

    async def _replay_partition(self, replay: _Replay, target: int) -> None:
        """Decide in large pieces, within each of which one set of meters is in force."""
        start = replay.writer.position
        if start < target:
            async for batch in self.reader.read(replay.partition, start, target, max_records=_PIECE_RECORDS):
                pieces = deque([batch])
                while pieces:
                    first, *later = self.catalogue.pieces(pieces.popleft())
                    pieces.extendleft(reversed(later))
                    if not await self._replay_piece(replay, first):
                        pieces.appendleft(first)
                self.progress(replay.partition, replay.writer.position, target)
        self.progress(replay.partition, replay.writer.position, target)

    async def _replay_piece(self, replay: _Replay, piece: RecordBatch) -> bool:
        """Decide and write a piece; False where the catalogue has changed, and the piece may have to be cut."""
        settled = await decide_block(
            piece, decoder=self.decoder, index=replay.index, reader=self.reader, threads=self.threads
        )
        known = rebuild.read_journal(
            self.live, self.topic.topic, replay.partition, piece.from_position, piece.to_position
        )
        ended = await asyncio.to_thread(
            replay.writer.commit,
            piece,
            settled.result,
            catalogue_version=self.catalogue.version,
            journal=list(_cut(piece, known, self.catalogue.version)),
        )
        if ended is Committed.STALE_CATALOGUE:
            self._load_catalogue()
            return False
        if ended is not Committed.DONE:
            raise ConflictError("Another process writes into the tables of this rebuild: run one at a time.")
        remember_block(replay.index, piece, settled)
        for block in known:
            if block.from_position < piece.from_position and block.to_position <= piece.to_position:
                fold_span(self.connection, self.topic.topic, replay.partition, block.from_position, block.to_position)
        return True


def _cut(piece: RecordBatch, known: Sequence[JournalSpan], version: int) -> Iterator[JournalSpan]:
    """Yield rows that cover a piece: the live journal's, and where it has none (it was emptied) rows of our own."""
    at = piece.from_position
    for block in known:
        if block.from_position > at:
            yield JournalSpan(at, block.from_position, version)
            at = block.from_position
        end = min(block.to_position, piece.to_position)
        yield JournalSpan(at, end, block.catalogue_version)
        at = end
    if at < piece.to_position:
        yield JournalSpan(at, piece.to_position, version)
