"""Waits until the workers have nothing left to do, for a bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from psycopg import AsyncConnection

from runtime.errors import Unavailable
from sinks.kafka.log_ends import LogEnds
from sinks.postgres.ledger import PartitionProgress, read_progress

_POLL_S = 0.1


class Workers:
    """How far the workers of one log are."""

    def __init__(self, connection: AsyncConnection, topic: str, log_ends: LogEnds, *, timeout_s: float) -> None:
        self._connection = connection
        self._topic = topic
        self._log_ends = log_ends
        self._timeout_s = timeout_s

    async def until_metered(self) -> list[int]:
        """Return the positions, once every record is metered, forwarded ones too. Raises: Unavailable."""

        async def behind() -> str | None:
            # Positions first: what is in hand can only add records after that, which the ends then show.
            positions = {row.partition: row.position for row in await self._progress()}
            ends = await self._log_ends.read()
            late = [
                f"partition {partition} stands at {positions.get(partition, 0)} of {end}"
                for partition, end in enumerate(ends)
                if positions.get(partition, 0) < end
            ]
            return "; ".join(late) or None

        await self._poll(behind, "meterstream worker metering")
        return await self._log_ends.read()

    async def until_loaded(self) -> None:
        """Return once ClickHouse has everything that the journal has. Raises: Unavailable."""

        async def behind() -> str | None:
            late = [
                f"partition {row.partition} is loaded up to {row.loaded_position or 0} of {row.position}"
                for row in await self._progress()
                if (row.loaded_position or 0) < row.position
            ]
            return "; ".join(late) or None

        await self._poll(behind, "meterstream worker warehouse")

    async def _progress(self) -> list[PartitionProgress]:
        return await read_progress(self._connection, self._topic)

    async def _poll(self, behind: Callable[[], Awaitable[str | None]], worker: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while (what := await behind()) is not None:
            if time.monotonic() > deadline:
                raise Unavailable(f"`{worker}` is not done after {self._timeout_s:.0f} s: {what}. Does it run?")
            await asyncio.sleep(_POLL_S)
