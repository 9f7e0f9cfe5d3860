"""Our changes on their way out: written with the change, read in order by one relay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL = load("outbox")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A change; of one customer, ids grow in the order of the commits. `payload` is JSON as text."""

    id: int
    organization_id: str
    customer_id: str
    kind: str
    payload: str
    created_at: datetime


async def try_lock(connection: AsyncConnection) -> bool:
    """Become the one relay, as long as this connection lives."""
    with translated_errors():
        row = await (await connection.execute(_SQL["try_lock"])).fetchone()
    return bool(row and row[0])


async def read_unsent(connection: AsyncConnection, *, limit: int) -> list[OutboxRow]:
    """Return the oldest changes that were not sent."""
    return await fetch_all(connection, OutboxRow, _SQL["read_unsent"], {"limit": limit})


async def find_oldest(connection: AsyncConnection) -> datetime | None:
    """Return since when a change waits to be sent."""
    with translated_errors():
        row = await (await connection.execute(_SQL["find_oldest"])).fetchone()
    return None if row is None else row[0]


async def mark_sent(connection: AsyncConnection, ids: Iterable[int]) -> None:
    """Note that Kafka has these."""
    with translated_errors():
        await connection.execute(_SQL["mark_sent"], {"ids": list(ids)})


async def delete_old(connection: AsyncConnection, *, kept: timedelta, limit: int) -> int:
    """Delete changes that were sent so long ago, and return how many it were."""
    with translated_errors():
        return (await connection.execute(_SQL["delete_old"], {"kept": kept, "limit": limit})).rowcount
