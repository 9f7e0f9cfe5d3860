"""How far jobs have come that go through something bit by bit."""

from __future__ import annotations

from datetime import datetime

from psycopg import AsyncConnection

from sinks.postgres.queries import load

_SQL = load("job_queue")


async def read_cursor(connection: AsyncConnection, name: str) -> datetime | None:
    """Return up to where a job is done; None: it never was."""
    row = await (await connection.execute(_SQL["read_cursor"], {"name": name})).fetchone()
    return None if row is None else row[0]


async def move_cursor(connection: AsyncConnection, name: str, reached_at: datetime) -> None:
    """Note up to where a job is done; never backwards."""
    await connection.execute(_SQL["move_cursor"], {"name": name, "reached_at": reached_at})
