"""Postgres for request work and commands: a pool that lends connections, and transactions that say who asks.

Row-level security (migration 0004) decides by what `acting` says; a connection that says nothing is nobody's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import class_row

from runtime.settings import PostgresSettings
from sinks.postgres.pool import make_pool, translated_errors
from sinks.postgres.queries import load

API_ROLE = "meterstream_api"
WORKER_ROLE = "meterstream_worker"

_SQL = load("access")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """Whose rows a transaction may see; `Access()` is nobody, who sees what is public."""

    organization_id: str | None = None
    user_id: str | None = None
    operator: bool = False

    def as_settings(self) -> dict[str, str]:
        """Return what the policies read."""
        return {
            "organization_id": self.organization_id or "",
            "user_id": self.user_id or "",
            "operator": "on" if self.operator else "",
        }


class PostgresAccess:
    """A pool of connections in autocommit mode that act as `role`, or as their login without one."""

    def __init__(self, settings: PostgresSettings, *, service: str, role: str | None = None) -> None:
        self._pool = make_pool(settings, service=service, role=role)

    async def open(self) -> None:
        """Begin to connect; a server that is down is tried again when a connection is asked for."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in autocommit mode, which for the API is nobody's. Raises: Unavailable."""
        with translated_errors():
            async with self._pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def acting(self, access: Access, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """Lend a connection inside one transaction that sees what `access` may see; it commits at the end.

        `snapshot`: read only, and all statements see one moment. Raises: Unavailable when there is none in time.
        """
        async with self.connection() as connection:
            # In one message: each one more would cost every request a round trip.
            await AsyncClientCursor(connection).execute(
                _SQL["begin_snapshot" if snapshot else "begin"], access.as_settings()
            )
            # The pool rolls back what is left open by an error.
            yield connection
            await connection.commit()

    async def ask(self, access: Access, query: bytes, values: Mapping[str, object], kind: type[T]) -> list[T]:
        """Return the rows that one reading statement finds and `access` may see, all in one round trip.

        For what is asked all the time; `acting` takes three. Raises: Unavailable, Transient, DatabaseError.
        """
        async with self.connection() as connection, connection.cursor(row_factory=class_row(kind)) as cursor:
            # What goes out together is one transaction, at the end of which nobody is asking again.
            async with connection.pipeline():
                await connection.execute(_SQL["say_who"], access.as_settings())
                await cursor.execute(query, values)
            return await cursor.fetchall()

    async def ping(self) -> None:
        """Ask for nothing. Raises: Unavailable."""
        async with self.connection() as connection:
            await connection.execute("select 1")


@asynccontextmanager
async def open_postgres(
    settings: PostgresSettings, *, service: str, role: str | None = None
) -> AsyncIterator[AsyncConnection]:
    """Lend one connection to a command. Raises: Unavailable."""
    with translated_errors():
        async with make_pool(settings, service=service, role=role) as pool, pool.connection() as connection:
            yield connection
