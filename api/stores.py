"""The doors that routes go through, opened with the application and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from metering.topics import STRIPE_EVENTS, USAGE_EVENTS
from runtime.clock import Clock, utc_now
from runtime.errors import Unavailable
from runtime.settings import Settings, StripeSettings
from sinks.clickhouse.threads import ClickhouseThreads
from sinks.kafka.log_ends import LogEnds
from sinks.kafka.producer import EventProducer
from sinks.kafka.topics import topic_name
from sinks.mirror import Mirror
from sinks.postgres.access import API_ROLE, PostgresAccess
from sinks.postgres.catalogue_changes import LogShape
from sinks.stripe.client import StripeGateway
from sinks.stripe_inbox import StripeInbox
from sinks.valkey.cache import SharedCache
from sinks.valkey.client import ValkeyClient
from sinks.valkey.rate_limits import SharedLimits

# Readiness must answer while a store hangs.
_PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Selling:
    """What takes money: Stripe, and the mirror that lets Postgres follow it."""

    stripe: StripeGateway
    mirror: Mirror


@dataclass(frozen=True)
class Stores:
    """Everything outside this process that a route may touch."""

    postgres: PostgresAccess
    producer: EventProducer
    clickhouse: ClickhouseThreads
    log_ends: LogEnds
    shape: LogShape
    valkey: ValkeyClient
    limits: SharedLimits
    cache: SharedCache
    stripe_inbox: StripeInbox
    stripe: StripeGateway | None = None
    mirror: Mirror | None = None
    clock: Clock = utc_now

    @property
    def selling(self) -> Selling:
        """Return what takes money. Raises: Unavailable without a key of Stripe."""
        if self.stripe is None or self.mirror is None:
            raise Unavailable(
                "Nothing is sold here: set METERSTREAM_STRIPE__API_KEY to a key of Stripe and start the API again.",
                code="STRIPE_NOT_CONFIGURED",
            )
        return Selling(self.stripe, self.mirror)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all; a store that is down now is tried again when it is asked for."""
        await self.postgres.open()
        try:
            await self.stripe_inbox.start()
            await self.producer.start()
            async with self.cache.listening():
                yield
        finally:
            if self.stripe is not None:
                await self.stripe.close()
            await self.valkey.close()
            await self.producer.stop()
            await self.stripe_inbox.stop()
            await self.log_ends.close()
            await self.clickhouse.close()
            await self.postgres.close()


def build_stores(settings: Settings) -> Stores:
    """Make the stores that the settings name; nothing is connected yet."""
    topic = topic_name(settings.kafka, USAGE_EVENTS)
    postgres = PostgresAccess(settings.postgres, service="api", role=API_ROLE)
    valkey = ValkeyClient(settings.valkey)
    stripe = StripeGateway(_impatient(settings)) if settings.stripe.api_key else None
    return Stores(
        postgres=postgres,
        producer=_producer(settings, USAGE_EVENTS),
        clickhouse=ClickhouseThreads(settings.clickhouse, service="api"),
        log_ends=LogEnds(settings.kafka, topic, timeout_s=_PROBE_TIMEOUT_S),
        shape=LogShape(topic, settings.kafka.partitions),
        valkey=valkey,
        limits=SharedLimits(valkey),
        cache=SharedCache(valkey),
        stripe_inbox=StripeInbox(postgres, _producer(settings, STRIPE_EVENTS), partitions=settings.kafka.partitions),
        stripe=stripe,
        mirror=Mirror(postgres, stripe) if stripe else None,
    )


def _producer(settings: Settings, topic: str) -> EventProducer:
    return EventProducer(
        settings.kafka,
        topic=topic_name(settings.kafka, topic),
        timeout_s=settings.api.produce_timeout_s,
        buffer_bytes=settings.api.producer_buffer_bytes,
    )


def _impatient(settings: Settings) -> StripeSettings:
    """Return Stripe's settings for calls on which a client waits: it repeats the request itself."""
    most_s = settings.api.stripe_give_up_s
    stripe = settings.stripe
    return stripe.model_copy(
        update={"timeout_s": min(stripe.timeout_s, most_s), "give_up_s": min(stripe.give_up_s, most_s)}
    )
