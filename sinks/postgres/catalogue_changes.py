"""The one way to change what is counted: all partitions held still, the change stamped with their positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection

from sinks.postgres.locks import PARTITION_LOCK
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("catalogue_changes")


@dataclass(frozen=True, slots=True)
class LogShape:
    """The topic that positions belong to, with its prefix, and its partitions."""

    topic: str
    partitions: int


@asynccontextmanager
async def catalogue_change(connection: AsyncConnection, shape: LogShape) -> AsyncIterator[list[int]]:
    """Yield the position of every partition inside a transaction that no block can interleave with.

    Every replay decides by these positions as the first run did. A block that was decided before the change sees the
    raised version and is decided again. Raises: Transient when blocks do not let go in time.
    """
    with translated_errors():
        async with connection.transaction():
            await connection.execute(_SQL["bound_wait"])
            await connection.execute(_SQL["lock_partitions"], {"space": PARTITION_LOCK, "partitions": shape.partitions})
            cursor = await connection.execute(_SQL["positions"], {"topic": shape.topic, "partitions": shape.partitions})
            row = await cursor.fetchone()
            assert row is not None
            yield list(row[0])
            await connection.execute(_SQL["raise_version"])
