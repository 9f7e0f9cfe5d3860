"""Resume points of periodic jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("job_queue")
RECONCILE_STRIPE: Final = "reconcile_stripe"
"""Up to when Stripe was asked for events that it could not deliver."""


async def read_cursor(connection: AsyncConnection, name: str) -> datetime | None:
    """Return up to where a job is done; None: it never was."""
    with translated_errors():
        row = await (await connection.execute(_SQL["read_cursor"], {"name": name})).fetchone()
    return None if row is None else row[0]


async def move_cursor(connection: AsyncConnection, name: str, reached_at: datetime) -> None:
    """Note up to where a job is done; never backwards."""
    with translated_errors():
        await connection.execute(_SQL["move_cursor"], {"name": name, "reached_at": reached_at})
