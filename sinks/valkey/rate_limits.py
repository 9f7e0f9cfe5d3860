"""Counts of requests that all processes share, in windows that begin together everywhere."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage

from sinks.valkey.client import ValkeyClient

_MOST_KEYS: Final = 10_000
_BLOCK_SHARE: Final = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a count says; `reset_s` until the next window begins."""

    limit: int
    remaining: int
    reset_s: int
    exceeded: bool


@dataclass(slots=True)
class _Block:
    """Numbers of a window that this process has taken and not given to a request yet."""

    numbers: deque[int] = field(default_factory=deque)
    size: int = 1
    """Of the next block."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedLimits:
    """Fixed windows of the wall clock: every process knows when a window ends.

    A process takes numbers of a busy window in blocks, each at most twice as large as the one before and a fiftieth of
    the limit, and gives them to requests without asking again. What it does not use of the last block is lost to
    others: they are stopped by that much early, never late. A limit under 100 is counted one by one.
    """

    def __init__(self, client: ValkeyClient, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now = now
        self._blocks: dict[str, _Block] = {}
        self._counts: RedisStorage | None = None
        if client.connection is not None:
            # The address is the pool's; the storage only reads from this one which kind of server it is.
            self._counts = RedisStorage(
                "async+valkey://",
                implementation="valkey",
                key_prefix="meterstream:limits",
                connection_pool=client.connection.connection_pool,  # type: ignore[arg-type]  # documented, untyped
            )

    async def count(self, limit: str, kind: str, who: str) -> Verdict:
        """Count one request of `who` against a limit such as `100/second`. Raises: Unavailable."""
        item = _parsed(limit)
        window_s = item.get_expiry()
        now = self._now()
        window = int(now // window_s)
        key = item.key_for(kind, who, str(window))
        block = self._blocks.get(key) or self._new_block(key)
        # Whoever comes while a block is asked for waits for that one.
        async with block.lock:
            if not block.numbers:
                size = min(block.size, max(1, item.amount // _BLOCK_SHARE))
                last = await self._client.ask(lambda _: self._incremented(key, window_s, size))
                block.numbers.extend(range(last - size + 1, last + 1))
                block.size = 2 * size
            used = block.numbers.popleft()
        return Verdict(
            limit=item.amount,
            remaining=max(0, item.amount - used),
            reset_s=max(1, round((window + 1) * window_s - now)),
            exceeded=used > item.amount,
        )

    def _new_block(self, key: str) -> _Block:
        if len(self._blocks) >= _MOST_KEYS:
            self._blocks.clear()  # most are of windows that are over
        return self._blocks.setdefault(key, _Block())

    async def _incremented(self, key: str, window_s: int, by: int) -> int:
        assert self._counts is not None  # `ask` has refused where there is no Valkey
        return await self._counts.incr(key, window_s, by)


@cache
def _parsed(limit: str) -> RateLimitItem:
    return parse(limit)
