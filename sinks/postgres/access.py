"""Postgres for request work and commands: a pool that opens and closes with its owner and lends connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from runtime.settings import PostgresSettings
from sinks.postgres.pool import make_pool, translated_errors


class PostgresAccess:
    """A pool of connections in autocommit mode."""

    def __init__(self, settings: PostgresSettings, *, service: str) -> None:
        self._pool = make_pool(settings, service=service)

    async def open(self) -> None:
        """Begin to connect; a server that is down is tried again when a connection is asked for."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection. Raises: Unavailable when there is none in time."""
        with translated_errors():
            async with self._pool.connection() as connection:
                yield connection

    async def ping(self) -> None:
        """Ask for nothing. Raises: Unavailable."""
        async with self.connection() as connection:
            await connection.execute("select 1")


@asynccontextmanager
async def open_postgres(settings: PostgresSettings, *, service: str) -> AsyncIterator[AsyncConnection]:
    """Lend one connection to a command. Raises: Unavailable."""
    with translated_errors():
        async with make_pool(settings, service=service) as pool, pool.connection() as connection:
            yield connection
