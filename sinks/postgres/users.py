"""People who sign in, by the subject of their token."""

from __future__ import annotations

from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("users")


async def see_user(connection: AsyncConnection, user_id: str, *, email: str | None) -> None:
    """Remember that somebody was here; `connection` acts for them."""
    with translated_errors():
        await connection.execute(_SQL["see"], {"id": user_id, "email": email})
