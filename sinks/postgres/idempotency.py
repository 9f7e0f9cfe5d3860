"""Answers of writes, so that a repetition gets the first one. Whose they are is who the transaction acts for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("idempotency")
_KEPT: Final = timedelta(hours=24)
# Longer than any request works: one whose process died may be begun again after it.
_AT_WORK: Final = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Begun:
    """This request is the first with its key; `locked_until` tells it from one that begins it again."""

    key_hash: bytes
    locked_until: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """A request with this key was there before; `status` is None while it is at work."""

    request_hash: bytes
    status: int | None
    answer: bytes | None


async def begin(connection: AsyncConnection, *, key_hash: bytes, request_hash: bytes) -> Begun | Known:
    """Claim a key, or return what is known under it."""
    values = {"key_hash": key_hash, "request_hash": request_hash, "at_work": _AT_WORK, "kept": _KEPT}
    with translated_errors():
        row = await (await connection.execute(_SQL["begin"], values)).fetchone()
        if row is not None:
            return Begun(key_hash, row[0])
        known = await (await connection.execute(_SQL["find"], {"key_hash": key_hash})).fetchone()
    # Forgotten in between: as good as at work, for whoever asks again a second later.
    return Known(*known) if known is not None else Known(request_hash, None, None)


async def keep(connection: AsyncConnection, begun: Begun, *, status: int, answer: bytes) -> None:
    """Keep the answer of a request for 24 hours."""
    values = {"key_hash": begun.key_hash, "locked_until": begun.locked_until, "status": status, "answer": answer}
    with translated_errors():
        await connection.execute(_SQL["keep"], values)


async def forget(connection: AsyncConnection, begun: Begun) -> None:
    """Let a request be sent again as if it had not been."""
    values = {"key_hash": begun.key_hash, "locked_until": begun.locked_until}
    with translated_errors():
        await connection.execute(_SQL["forget"], values)


async def forget_old(connection: AsyncConnection) -> int:
    """Delete what is older than 24 hours, of everybody (a job acts as the workers' role); return how much it was."""
    with translated_errors():
        cursor = await connection.execute(_SQL["forget_old"], {"kept": _KEPT})
    return cursor.rowcount
