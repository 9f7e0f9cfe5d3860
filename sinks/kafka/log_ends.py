"""Tells how long the log is, for readiness and lag; connects when first asked, and anew after a failure."""

from __future__ import annotations

import asyncio

from runtime.errors import Unavailable
from runtime.settings import KafkaSettings
from sinks.kafka.log_reader import LogReader


class LogEnds:
    """The ends of one topic's partitions; for many callers, one at a time."""

    def __init__(self, settings: KafkaSettings, topic: str, *, timeout_s: float) -> None:
        self._settings = settings
        self._topic = topic
        self._timeout_s = timeout_s
        self._reader: LogReader | None = None
        self._turn = asyncio.Lock()

    async def read(self) -> list[int]:
        """Return the end of every partition, in order.

        Raises: Unavailable when Kafka does not tell in time.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    if self._reader is None:
                        reader = LogReader(self._settings, self._topic, timeout_s=self._timeout_s)
                        self._reader = await reader.__aenter__()
                    bounds = await self._reader.bounds(range(self._settings.partitions))
            except (TimeoutError, Unavailable) as exc:
                await self._close()
                raise Unavailable(f"Kafka does not tell the end of {self._topic}: {exc or 'time-out'}") from exc
            return [bounds[partition][1] for partition in range(self._settings.partitions)]

    async def close(self) -> None:
        """Close the connection."""
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.__aexit__(None, None, None)
