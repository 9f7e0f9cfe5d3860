"""Counts of requests that all processes share, in windows that begin together everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage

from sinks.valkey.client import ValkeyClient


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a count says; `reset_s` until the next window begins."""

    limit: int
    remaining: int
    reset_s: int
    exceeded: bool


class SharedLimits:
    """Fixed windows of the wall clock: one round trip a count, and every process knows when a window ends."""

    def __init__(self, client: ValkeyClient, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now = now
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
        used = await self._client.ask(lambda _: self._incremented(key, window_s))
        return Verdict(
            limit=item.amount,
            remaining=max(0, item.amount - used),
            reset_s=max(1, round((window + 1) * window_s - now)),
            exceeded=used > item.amount,
        )

    async def _incremented(self, key: str, window_s: int) -> int:
        assert self._counts is not None  # `ask` has refused where there is no Valkey
        return await self._counts.incr(key, window_s)


@cache
def _parsed(limit: str) -> RateLimitItem:
    return parse(limit)
