"""Folds old journal rows to one per hour and partition: a block every 0.1 s makes 860,000 rows per day and partition.

A folded row says the same as its blocks did: positions, counts and the counted bits, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg

from sinks.postgres.blocks import pack_counted, unpack_counted
from sinks.postgres.locks import FOLD_LOCK
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("folding")


@dataclass(frozen=True, slots=True)
class _Block:
    from_position: int
    to_position: int
    arrival_hour: int
    rules_version: int
    catalogue_version: int
    records: int
    counted: int
    duplicates: int
    rejected: int
    forwarded: int
    counted_bits: bytes | None
    committed_at: datetime

    @property
    def rules(self) -> tuple[int, int, int]:
        return self.arrival_hour, self.rules_version, self.catalogue_version


def fold_old_blocks(connection: psycopg.Connection, topic: str, partition: int, *, before_hour: int) -> int:
    """Fold the blocks that arrived before an hour (since 1970) and are in ClickHouse; returns how many rows went.

    Does nothing while a rebuild follows the journal.
    """
    place = {"topic": topic, "partition": partition}
    gone = 0
    with translated_errors(), connection.transaction():
        allowed = connection.execute(_SQL["may_fold"], {"lock": FOLD_LOCK}).fetchone()
        if allowed is None or not allowed[0]:
            return 0
        rows = connection.execute(_SQL["old_blocks"], {**place, "before_hour": before_hour}).fetchall()
        for run in _runs(_Block(*row) for row in rows):
            _replace(connection, place, run)
            gone += len(run) - 1
    return gone


def fold_span(connection: psycopg.Connection, topic: str, partition: int, from_position: int, to_position: int) -> None:
    """Fold the blocks of [from_position, to_position) to one: a rebuild makes a folded row in pieces."""
    place = {"topic": topic, "partition": partition}
    with translated_errors(), connection.transaction():
        span = {**place, "from_position": from_position, "to_position": to_position}
        _replace(connection, place, [_Block(*row) for row in connection.execute(_SQL["blocks_of"], span).fetchall()])


def hold_journal_still(connection: psycopg.Connection) -> None:
    """Keep every folding out until the connection closes or unlocks all."""
    with translated_errors():
        connection.execute(_SQL["hold_still"], {"lock": FOLD_LOCK})


def _runs(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Yield what becomes one row: contiguous blocks of one hour and one set of rules; empty ones go along."""
    run: list[_Block] = []
    for block in blocks:
        decided = next((each for each in run if each.records), block)
        fits = not block.records or not decided.records or block.rules == decided.rules
        if run and (run[-1].to_position != block.from_position or not fits):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _replace(connection: psycopg.Connection, place: dict[str, Any], run: list[_Block]) -> None:
    if len(run) < 2:
        return
    decided = next((block for block in run if block.records), run[0])
    span = {**place, "from_position": run[0].from_position, "to_position": run[-1].to_position}
    counted = np.concatenate([unpack_counted(block.counted_bits, block.records) for block in run])
    sums = {
        name: sum(getattr(block, name) for block in run)
        for name in ("records", "counted", "duplicates", "rejected", "forwarded")
    }
    connection.execute(_SQL["drop_blocks"], span)
    connection.execute(
        _SQL["add_folded"],
        {
            **span,
            **sums,
            "arrival_hour": decided.arrival_hour,
            "rules_version": decided.rules_version,
            "catalogue_version": decided.catalogue_version,
            "counted_bits": pack_counted(counted),
            "committed_at": max(block.committed_at for block in run),
        },
    )
