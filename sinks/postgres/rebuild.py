"""Derived tables beside the live ones: made empty, filled by replay, compared, swapped in."""

from __future__ import annotations

import psycopg

from runtime.errors import RefusedToStart
from sinks.comparison import TableComparison
from sinks.postgres.blocks import JournalSpan
from sinks.postgres.locks import PARTITION_LOCK
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

SEARCH_PATH = "rebuild,public"
"""Of the connection that fills the twins: every statement of the live path finds them first."""

_SQL = load("rebuild")


def begin_rebuild(connection: psycopg.Connection) -> None:
    """Make the empty twins; what an interrupted rebuild left is dropped."""
    with translated_errors():
        connection.execute(_SQL["begin"])


def refuse_other_logs(connection: psycopg.Connection, topic: str) -> None:
    """Refuse to replay one log where totals hold others' events too: those would be gone.

    Raises: RefusedToStart.
    """
    with translated_errors():
        others = [str(row[0]) for row in connection.execute(_SQL["other_topics"], {"topic": topic}).fetchall()]
    if others:
        raise RefusedToStart(
            f"Totals also hold what was counted from {', '.join(others)}, which a replay of {topic} alone would lose."
        )


def read_journal(
    connection: psycopg.Connection, topic: str, partition: int, from_position: int, to_position: int
) -> list[JournalSpan]:
    """Return the live journal's rows over a stretch of the log, whole, in order; it may have gaps."""
    values = {"topic": topic, "partition": partition, "from_position": from_position, "to_position": to_position}
    with translated_errors():
        return [JournalSpan(*row) for row in connection.execute(_SQL["journal"], values).fetchall()]


def lock_partitions(connection: psycopg.Connection, partitions: int) -> None:
    """Keep every block and catalogue change out until `end_rebuild`, or until the connection closes."""
    with translated_errors():
        for partition in range(partitions):
            connection.execute(_SQL["lock_partition"], {"space": PARTITION_LOCK, "partition": partition})


def compare_tables(connection: psycopg.Connection, topic: str) -> list[TableComparison]:
    """Compare live and rebuilt, table by table; clock columns and series numbers are left out."""
    with translated_errors():
        rows = connection.execute(_SQL["checksums"], {"topic": topic}).fetchall()
    found = {(row[0], row[1]): (int(row[2]), str(row[3])) for row in rows}
    nothing = (0, "0")
    return [
        TableComparison(table, *found.get((table, "live"), nothing), *found.get((table, "rebuilt"), nothing))
        for table in ("usage_buckets", "usage_values", "stream_positions", "stream_blocks", "dead_letters")
    ]


def swap_tables(connection: psycopg.Connection, topic: str) -> None:
    """Put the rebuilt rows in the live tables' place, in one transaction."""
    with translated_errors(), connection.transaction():
        connection.execute(_SQL["swap"])
        connection.execute(_SQL["raise_version"])
        connection.execute(_SQL["drop_journal"], {"topic": topic})
        for name in ("fill_positions", "fill_blocks", "fill_dead_letters"):
            connection.execute(_SQL[name])


def end_rebuild(connection: psycopg.Connection) -> None:
    """Drop the twins and let the workers go on."""
    with translated_errors():
        connection.execute(_SQL["end"])
        connection.execute(_SQL["unlock_all"])
