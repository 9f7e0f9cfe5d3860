"""Commits a block: position, totals, dead letters and journal row in ONE transaction. The heart of exactly-once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray

from metering.blocks import RULES_VERSION, BlockResult, DeadLetter, Outcome
from metering.records import HOUR_MS, RecordBatch
from runtime.errors import RefusedToStart
from sinks.postgres.catalogue import read_version
from sinks.postgres.locks import PARTITION_LOCK
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.totals import TotalsWriter

RAW_BYTES_KEPT = 65_536
RECORD_LEVEL = "00000000-0000-0000-0000-000000000000"
"""The `meter_id` of a dead letter that is the whole record."""

_SQL = load("blocks")
_COUNTS = {
    "counted": Outcome.COUNTED,
    "duplicates": Outcome.DUPLICATE,
    "rejected": Outcome.REJECTED,
    "forwarded": Outcome.FORWARDED,
}


class Committed(Enum):
    """How a commit ended."""

    DONE = auto()
    ALREADY = auto()
    """Our own commit, whose answer was lost: nothing was written twice."""
    MOVED = auto()
    """Another worker moved the position: drop the block and seek to `BlockWriter.position`."""
    STALE_CATALOGUE = auto()
    """Meters or organizations changed: reload, decide the block again, commit again."""


class JournalSpan(NamedTuple):
    """A row of the journal to be: its bounds, and the version of the catalogue that decided it first."""

    from_position: int
    to_position: int
    catalogue_version: int


class BlockWriter:
    """Writes one partition's blocks; used by one thread at a time, which owns the connection."""

    def __init__(self, connection: psycopg.Connection, topic: str, partition: int, position: int) -> None:
        self.position = position
        """Where the partition stands in Postgres, as far as we know."""
        self._connection = connection
        self._place = {"topic": topic, "partition": partition}
        self._totals = TotalsWriter(connection)

    def commit(
        self,
        batch: RecordBatch,
        result: BlockResult,
        *,
        catalogue_version: int,
        journal: Sequence[JournalSpan] | None = None,
    ) -> Committed:
        """Commit a block that was decided by this version of the catalogue.

        A replay takes many blocks at once and journals each as it was journaled first: `journal` cuts the batch.

        Steps, all in one READ COMMITTED transaction; a crash anywhere before its commit leaves nothing behind:
        1. partition lock, shared: the catalogue cannot change until we are done;
        2. catalogue version: if it is not the one that decided this block, the block has to be decided again;
        3. position, moved from where we stood: if it is elsewhere, this block is done already or not ours;
        4. totals, in primary-key order, and dead letters;
        5. the journal row, and word to the warehouse.
        Raises: Transient when Postgres wants the block again: either nothing was written, or `ALREADY` will tell.
        """
        ended = None
        try:
            with translated_errors(), self._connection.transaction():
                spans = journal or [JournalSpan(batch.from_position, batch.to_position, catalogue_version)]
                ended = self._write(batch, result, catalogue_version, spans)
        finally:
            if ended is not Committed.DONE:
                self._totals.forget()
        if ended is Committed.DONE:
            self.position = batch.to_position
        return ended

    def _write(
        self, batch: RecordBatch, result: BlockResult, version: int, journal: Sequence[JournalSpan]
    ) -> Committed:
        run = self._connection.execute
        span = {**self._place, "from_position": batch.from_position, "to_position": batch.to_position}
        run(_SQL["lock_partition"], {"space": PARTITION_LOCK, "partition": batch.partition})
        if read_version(self._connection) != version:
            return Committed.STALE_CATALOGUE
        if run(_SQL["move_position"], span).rowcount == 0:
            return self._elsewhere(batch)
        for deltas in result.deltas:
            self._totals.add(deltas)
        if result.dead_letters:
            run(_SQL["add_dead_letters"], {**self._place, **_dead_letters(batch, result.dead_letters)})
        for cut in journal:
            run(_SQL["add_block"], {**self._place, **_journal_row(batch, result, cut)})
        run(_SQL["tell_block"], {"partition": batch.partition})
        return Committed.DONE

    def _elsewhere(self, batch: RecordBatch) -> Committed:
        row = self._connection.execute(_SQL["read_position"], self._place).fetchone()
        if row is None:
            raise RefusedToStart(f"Postgres has no position for {self._place}; was it emptied under the worker?")
        self.position = int(row[0])
        return Committed.ALREADY if self.position == batch.to_position else Committed.MOVED


def pack_counted(counted: NDArray[np.bool_]) -> bytes | None:
    """Return the journal's bits for a block: which records, in log order, were counted; None when all were."""
    return None if counted.all() else zlib.compress(np.packbits(counted).tobytes(), 1)


def unpack_counted(bits: bytes | None, records: int) -> NDArray[np.bool_]:
    """Return one bool a record: the reverse of `pack_counted`."""
    if bits is None:
        return np.ones(records, dtype=np.bool_)
    return np.unpackbits(np.frombuffer(zlib.decompress(bits), dtype=np.uint8), count=records).astype(np.bool_)


def _journal_row(batch: RecordBatch, result: BlockResult, span: JournalSpan) -> dict[str, Any]:
    low, high = np.searchsorted(batch.offsets, [span.from_position, span.to_position])
    outcomes = result.outcomes[low:high]
    return {
        **span._asdict(),
        "records": len(outcomes),
        **{name: int(np.count_nonzero(outcomes == outcome)) for name, outcome in _COUNTS.items()},
        "arrival_hour": int(batch.arrivals_ms[low]) // HOUR_MS if len(outcomes) else 0,
        "rules_version": RULES_VERSION,
        "counted_bits": pack_counted(outcomes == Outcome.COUNTED),
    }


def _dead_letters(batch: RecordBatch, letters: list[DeadLetter]) -> dict[str, Any]:
    values = [batch.values[letter.row] or b"" for letter in letters]
    rows = [letter.row for letter in letters]
    return {
        "offsets": batch.offsets[rows].tolist(),
        "meters": [letter.meter_id or RECORD_LEVEL for letter in letters],
        "organizations": [letter.organization_id for letter in letters],
        "codes": [letter.code for letter in letters],
        "messages": [_storable(letter.message) for letter in letters],
        "event_ids": [_storable(letter.event_id) for letter in letters],
        "arrivals_ms": batch.arrivals_ms[rows].tolist(),
        "raws": [value[:RAW_BYTES_KEPT] for value in values],
        "sizes": [len(value) for value in values],
    }


def _storable(text: str | None) -> str | None:
    """Return what Postgres can hold of an id that may be the very reason for the refusal (NUL, lone surrogates)."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
