"""Fetched batches of one partition that wait until the journal says what counted in them."""

from __future__ import annotations

import asyncio
from collections import deque

from metering.records import RecordBatch
from streams.delivery import Delivery


class LoadShelf:
    """Holds consecutive batches up to a size. A batch that finds no room is let go: the log still has it."""

    def __init__(self, *, max_records: int) -> None:
        self._max_records = max_records
        self._held: deque[RecordBatch] = deque()
        self._records = 0
        self._unacked: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Condition()

    @property
    def span(self) -> tuple[int, int] | None:
        """Return the positions between which the shelf has everything."""
        return (self._held[0].from_position, self._held[-1].to_position) if self._held else None

    @property
    def is_full(self) -> bool:
        """Say whether another batch finds no room."""
        return self._records >= self._max_records

    @property
    def records(self) -> int:
        """Return how many records are held."""
        return self._records

    async def put(self, delivery: Delivery, *, wait_s: float) -> None:
        """Hold a batch; waits for room, and lets it go after `wait_s`. After a seek what was held is of no use."""
        batch = delivery.value
        async with self._room:
            if self.is_full and wait_s > 0:
                try:
                    await asyncio.wait_for(self._room.wait_for(lambda: not self.is_full), wait_s)
                except TimeoutError:
                    pass
        ...
