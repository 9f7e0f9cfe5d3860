"""Rows of Postgres as the classes that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row

from sinks.postgres.pool import translated_errors

T = TypeVar("T")


async def fetch_one(
    connection: AsyncConnection, kind: type[T], statement: bytes, values: Mapping[str, Any] | None = None
) -> T | None:
    """Return the first row that a statement gives, None if there is none. Raises: as `translated_errors` says."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(kind)) as cursor:
            await cursor.execute(statement, values)
            return await cursor.fetchone()


async def fetch_all(
    connection: AsyncConnection,
    kind: type[T],
    statement: bytes,
    values: Mapping[str, Any] | None = None,
    *,
    prepare: bool | None = None,
) -> list[T]:
    """Return all rows that a statement gives. Raises: as `translated_errors` says."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(kind)) as cursor:
            await cursor.execute(statement, values, prepare=prepare)
            return await cursor.fetchall()
