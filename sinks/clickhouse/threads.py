"""ClickHouse for request work: the blocking client in threads, connected when first asked and shared by all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from clickhouse_connect.driver.client import Client

from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import connect, query

P = ParamSpec("P")
T = TypeVar("T")


# A hanging server must not use up the threads of everything else in the process.
_THREADS = 16


class ClickhouseThreads:
    """Runs this package's functions, each in a thread, on one client."""

    def __init__(self, settings: ClickhouseSettings, *, service: str) -> None:
        self._settings = settings
        self._service = service
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="clickhouse")

    async def run(self, function: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(client, …)`. Raises: what it raises; Unavailable when ClickHouse does not answer."""

        def work() -> T:
            return function(self._connected(), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def ping(self) -> None:
        """Ask for nothing. Raises: Unavailable when ClickHouse does not answer."""
        await self.run(query, "select 1")

    async def close(self) -> None:
        """Close the client; calls that still wait for the server end by its time-out."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = connect(self._settings, service=self._service)
            return self._client
