"""The doors that routes go through, opened with the application and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from metering.topics import USAGE_EVENTS
from runtime.clock import Clock, utc_now
from runtime.settings import Settings
from sinks.clickhouse.threads import ClickhouseThreads
from sinks.kafka.log_ends import LogEnds
from sinks.kafka.producer import EventProducer
from sinks.kafka.topics import topic_name
from sinks.postgres.access import API_ROLE, PostgresAccess
from sinks.postgres.catalogue_changes import LogShape

# Readiness must answer while a store hangs.
_PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Stores:
    """Everything outside this process that a route may touch."""

    postgres: PostgresAccess
    producer: EventProducer
    clickhouse: ClickhouseThreads
    log_ends: LogEnds
    shape: LogShape
    clock: Clock = utc_now

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all; a store that is down now is tried again when it is asked for."""
        await self.postgres.open()
        try:
            await self.producer.start()
            yield
        finally:
            await self.producer.stop()
            await self.log_ends.close()
            await self.clickhouse.close()
            await self.postgres.close()


def build_stores(settings: Settings) -> Stores:
    """Make the stores that the settings name; nothing is connected yet."""
    topic = topic_name(settings.kafka, USAGE_EVENTS)
    return Stores(
        postgres=PostgresAccess(settings.postgres, service="api", role=API_ROLE),
        producer=EventProducer(
            settings.kafka,
            topic=topic,
            timeout_s=settings.api.produce_timeout_s,
            buffer_bytes=settings.api.producer_buffer_bytes,
        ),
        clickhouse=ClickhouseThreads(settings.clickhouse, service="api"),
        log_ends=LogEnds(settings.kafka, topic, timeout_s=_PROBE_TIMEOUT_S),
        shape=LogShape(topic, settings.kafka.partitions),
    )
