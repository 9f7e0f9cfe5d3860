"""What changed for a customer, in order: the outbox as streams read it. Row-level security decides who sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import scalar_row

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL: Final = load("customer_changes")


@dataclass(frozen=True, slots=True)
class CustomerChange:
    """A change of a subscription or an invoice; `payload` is JSON text."""

    id: int
    kind: str
    payload: str
    created_at: datetime


async def last_change_id(connection: AsyncConnection, customer_id: str) -> int:
    """Return the id of a customer's last change, 0 before the first."""
    with translated_errors():
        async with connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(_SQL["last_id"], {"customer_id": customer_id})
            found: int | None = await cursor.fetchone()
    return found or 0


async def changes_after(
    connection: AsyncConnection, customer_id: str, *, after: int, limit: int
) -> list[CustomerChange]:
    """Return the changes behind `after`, oldest first."""
    return await fetch_all(
        connection, CustomerChange, _SQL["changes_after"], {"customer_id": customer_id, "after": after, "limit": limit}
    )
