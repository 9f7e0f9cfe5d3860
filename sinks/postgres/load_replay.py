"""What a rebuild of ClickHouse needs of Postgres: every load with its bounds, and the journal's rows behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from numpy import bool_
from numpy.typing import NDArray

from sinks.postgres.blocks import unpack_counted
from sinks.postgres.loads import Load
from sinks.postgres.locks import REBUILD_LOADS_LOCK
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load as load_sql

_SQL = load_sql("loads")


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One row of the journal: a block, or an hour's blocks folded."""

    from_position: int
    to_position: int
    counted: NDArray[bool_]
    catalogue_version: int


def read_loads(connection: psycopg.Connection, topic: str, partition: int, from_position: int) -> Iterator[Load]:
    """Yield a partition's loads that begin at or after a position, in order; an open one has `begun_before`."""
    while True:
        keys = {"topic": topic, "partition": partition, "from_position": from_position}
        with translated_errors():
            rows = connection.execute(_SQL["loads_of_partition"], keys).fetchall()
        if not rows:
            return
        for row in rows:
            yield Load(row[0], topic, partition, row[1], row[2], row[3], begun_before=row[4] == "open")
        from_position = int(rows[-1][1]) + 1


def read_journal_over(
    connection: psycopg.Connection, topic: str, partition: int, from_position: int, to_position: int
) -> list[JournalRow]:
    """Return the journal's rows that [from_position, to_position) touches."""
    keys = {"topic": topic, "partition": partition, "from_position": from_position, "to_position": to_position}
    with translated_errors():
        rows = connection.execute(_SQL["blocks_over"], keys).fetchall()
    return [JournalRow(row[0], row[1], unpack_counted(row[3], row[2]), row[4]) for row in rows]


def ask_loaders_to_step_back(connection: psycopg.Connection) -> None:
    """Ask all loaders to finish the load in hand and give their claims up, until this connection closes."""
    with translated_errors():
        connection.execute(_SQL["ask_loaders_to_step_back"], {"lock": REBUILD_LOADS_LOCK})


def number_loads_from(connection: psycopg.Connection, at_least: int) -> None:
    """Give no id to a new load that ClickHouse may remember."""
    with translated_errors():
        connection.execute(_SQL["number_loads_from"], {"at_least": at_least})
