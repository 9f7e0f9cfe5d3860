"""A rate limit that holds where the requests arrive: never more than N in any second, whatever the network delays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from runtime.errors import RateLimited

_WINDOW_S: Final = 1.0


@dataclass(slots=True)
class Slot:
    """Leave to send one request; `sent` is set just before it goes out."""

    ready_at: float
    sent: bool = False


class RateLimit:
    """Hands out `per_s` slots; one that was used rests for a second *after its answer*.

    A request arrives between being sent and being answered, so two uses of one slot arrive at least a second apart, and
    `per_s` slots can never make more than `per_s` arrivals in a second. A bucket of tokens lets twice as many through,
    and times of sending alone say nothing about times of arrival. The price is a little speed: N / (1 + latency).
    """

    def __init__(
        self,
        per_s: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        # First in, first out, for the slots and for those who wait for one.
        self._slots: asyncio.Queue[Slot] = asyncio.Queue()
        for _ in range(per_s):
            self._slots.put_nowait(Slot(ready_at=float("-inf")))

    @asynccontextmanager
    async def slot(self, patience_s: float) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it until the request is answered or given up. Raises: RateLimited."""
        try:
            async with asyncio.timeout(patience_s):
                slot = await self._next()
        except TimeoutError as exc:
            raise RateLimited("Too many calls to Stripe wait already.", retry_after_s=1) from exc
        try:
            yield slot
        finally:
            self._slots.put_nowait(Slot(ready_at=self._clock() + _WINDOW_S) if slot.sent else slot)

    async def _next(self) -> Slot:
        slot = await self._slots.get()
        try:
            while (wait_s := slot.ready_at - self._clock()) > 0:
                await self._sleep(wait_s)
        except BaseException:
            self._slots.put_nowait(slot)
            raise
        return slot
