"""Hears of what has committed: whoever writes notifies, whoever waits is woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import psycopg

from runtime.errors import Unavailable
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from sinks.postgres.access import API_ROLE, WORKER_ROLE
from sinks.postgres.pool import connection_options, translated_errors
from sinks.postgres.queries import load

log = get_logger(__name__)
_LISTEN_BLOCKS: Final = load("loads")["listen"]
_LISTEN_OUTBOX: Final = load("customer_changes")["listen"]
_PAUSE_S = 1.0


async def follow_blocks(settings: PostgresSettings, on_block: Callable[[int], None], *, service: str) -> None:
    """Call `on_block(partition)` for each block that is committed, until cancelled.

    A lost connection is opened again; what was committed meanwhile is not told, so callers poll as well.
    """

    def hear(payload: str | None) -> None:
        if payload is not None:
            on_block(int(payload))

    await _follow(settings, _LISTEN_BLOCKS, hear, service=service, role=WORKER_ROLE)


async def follow_outbox(settings: PostgresSettings, on_change: Callable[[str | None], None], *, service: str) -> None:
    """Call `on_change(customer_id)` for each change that is committed, until cancelled.

    None: any customer's may have been, since there was no connection until now.
    """
    await _follow(settings, _LISTEN_OUTBOX, on_change, service=service, role=API_ROLE)


async def _follow(
    settings: PostgresSettings, listen: bytes, hear: Callable[[str | None], None], *, service: str, role: str
) -> None:
    while True:
        try:
            with translated_errors():
                options = connection_options(settings, service=service, role=role)
                async with await psycopg.AsyncConnection.connect(**options, autocommit=True) as connection:  # type: ignore[arg-type]
                    await connection.execute(listen)
                    hear(None)
                    async for notice in connection.notifies():
                        hear(notice.payload)
        except Unavailable as exc:
            log.warning("no word of what commits; polling goes on", reason=exc.message)
        await asyncio.sleep(_PAUSE_S)
