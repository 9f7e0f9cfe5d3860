"""Hears of committed blocks: `commit_block` notifies, whoever waits is woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg

from runtime.errors import Unavailable
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from sinks.postgres.pool import connection_options, translated_errors
from sinks.postgres.queries import load

log = get_logger(__name__)
_SQL = load("loads")
_PAUSE_S = 1.0


async def follow_blocks(settings: PostgresSettings, on_block: Callable[[int], None], *, service: str) -> None:
    """Call `on_block(partition)` for each block that is committed, until cancelled.

    A lost connection is opened again; what was committed meanwhile is not told, so callers poll as well.
    """
    while True:
        try:
            await _follow(settings, on_block, service)
        except Unavailable as exc:
            log.warning("no word of new blocks; polling goes on", reason=exc.message)
        await asyncio.sleep(_PAUSE_S)


async def _follow(settings: PostgresSettings, on_block: Callable[[int], None], service: str) -> None:
    with translated_errors():
        options = connection_options(settings, service=service)
        async with await psycopg.AsyncConnection.connect(**options, autocommit=True) as connection:  # type: ignore[arg-type]
            await connection.execute(_SQL["listen"])
            async for notice in connection.notifies():
                on_block(int(notice.payload))
