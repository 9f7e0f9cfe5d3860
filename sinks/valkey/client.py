"""Connections to Valkey, and the memory that it is down: nobody waits for it more than once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import ValkeyError

from runtime.errors import Unavailable
from runtime.logging import get_logger
from runtime.settings import ValkeySettings

log = get_logger(__name__)
T = TypeVar("T")

_CONNECTIONS: Final = 32
# After a failure nobody asks for so long: a hanging Valkey must not cost each request its time limit.
_REST_S: Final = 1.0
FAILURES: Final = (ValkeyError, OSError, TimeoutError)
"""How the driver says that Valkey does not answer."""


class ValkeyClient:
    """Commands with a time limit, to a server that may be down. Nothing is connected before the first one."""

    def __init__(self, settings: ValkeySettings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = settings.timeout_s
        self._now = now
        self._rests_until = float("-inf")
        self.connection: Valkey | None = None
        """None where no Valkey is set."""
        if settings.url is not None:
            pool = BlockingConnectionPool.from_url(
                settings.url.get_secret_value(),
                max_connections=_CONNECTIONS,
                timeout=settings.timeout_s,
                socket_timeout=settings.timeout_s,
                socket_connect_timeout=settings.timeout_s,
            )
            self.connection = Valkey(connection_pool=pool)

    async def ask(self, command: Callable[[Valkey], Awaitable[T]]) -> T:
        """Return what a command gives. Raises: Unavailable when it does not in time, and for a second after that."""
        if self.connection is None:
            raise Unavailable("No Valkey is set: METERSTREAM_VALKEY__URL.")
        if self._now() < self._rests_until:
            raise Unavailable("Valkey did not answer just now.")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await command(self.connection)
        except FAILURES as exc:
            self._rests_until = self._now() + _REST_S
            log.warning("Valkey does not answer; going on without it", reason=f"{type(exc).__name__}: {exc}")
            raise Unavailable("Valkey does not answer.") from exc

    async def close(self) -> None:
        """Close all connections."""
        if self.connection is not None:
            await self.connection.aclose(close_connection_pool=True)
