"""Forgets, night by night, what following Stripe has left behind and nobody needs any more: it is about people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from psycopg import AsyncConnection

from runtime.logging import get_logger
from sinks.postgres import inbox, outbox
from sinks.postgres.access import PostgresAccess

log = get_logger(__name__)
_KEPT: Final = timedelta(days=30)
"""As long as Stripe keeps its events; and so far back a stream of changes can be resumed."""
_BATCH: Final = 1_000


async def forget_followed(postgres: PostgresAccess) -> None:
    """Empty the bodies of Stripe's events that were applied, and delete changes of ours that were sent, 30 days ago.

    Ids of events stay, so that none is applied again. Raises: Unavailable.
    """
    emptied = await _all(postgres, lambda connection: inbox.empty_old(connection, kept=_KEPT, limit=_BATCH))
    deleted = await _all(postgres, lambda connection: outbox.delete_old(connection, kept=_KEPT, limit=_BATCH))
    log.info("old events and changes are forgotten", events=emptied, changes=deleted)


async def _all(postgres: PostgresAccess, some: Callable[[AsyncConnection], Awaitable[int]]) -> int:
    """Repeat `some` until nothing is left; each is short, and disturbs nobody."""
    total = 0
    while True:
        async with postgres.connection() as connection:
            count = await some(connection)
        total += count
        if count < _BATCH:
            return total
