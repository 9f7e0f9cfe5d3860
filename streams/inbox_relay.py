"""Produces events of Stripe's that are due: those that Kafka did not take at once, and those to be tried again."""

from __future__ import annotations

import asyncio
from typing import Final

from runtime.errors import RateLimited, Unavailable
from runtime.logging import get_logger
from sinks.kafka.producer import EventProducer
from sinks.postgres import inbox
from sinks.postgres.access import PostgresAccess
from sinks.stripe_events import outgoing_record

log = get_logger(__name__)
_BATCH: Final = 500
_POLL_S: Final = 0.5
_PAUSE_S: Final = 2.0


async def relay_inbox(postgres: PostgresAccess, producer: EventProducer, *, partitions: int) -> None:
    """Produce what is due, until cancelled. Several may run: they share the work."""
    while True:
        try:
            taken = await _relay_once(postgres, producer, partitions)
        except (Unavailable, RateLimited) as exc:
            log.warning("Stripe's events wait for the relay", reason=exc.message)
            await asyncio.sleep(_PAUSE_S)
            continue
        if taken < _BATCH:
            await asyncio.sleep(_POLL_S)


async def _relay_once(postgres: PostgresAccess, producer: EventProducer, partitions: int) -> int:
    """Produce a batch and return its size. A crash in between produces it again, which its readers notice."""
    async with postgres.connection() as connection, connection.transaction():
        events = await inbox.take_due(connection, limit=_BATCH)
        if events:
            await producer.send_all([outgoing_record(event, partitions) for event in events])
            await inbox.mark_produced(connection, [event.event_id for event in events])
    return len(events)
