"""Publishes our changes to `billing.changes.v1`, in order by customer; a crash publishes some again, under their ids.

A reader ignores an id at or below the last that it applied for that customer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection

from metering.partitions import home_partition
from runtime.errors import RateLimited, Unavailable
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from sinks.kafka.producer import EventProducer, OutgoingRecord
from sinks.postgres import outbox
from sinks.postgres.access import WORKER_ROLE, open_postgres
from sinks.postgres.outbox import OutboxRow

log = get_logger(__name__)
_BATCH: Final = 500
_POLL_S: Final = 0.2
_PAUSE_S: Final = 2.0


async def relay_outbox(settings: PostgresSettings, producer: EventProducer, *, partitions: int) -> None:
    """Publish until cancelled, or wait to take over from the relay that does."""
    while True:
        try:
            # A connection of its own: the lock is the connection's.
            async with open_postgres(settings, service="outbox", role=WORKER_ROLE) as connection:
                if await outbox.try_lock(connection):
                    await _relay(connection, producer, partitions)
        except (Unavailable, RateLimited) as exc:
            log.warning("changes wait to be published", reason=exc.message)
        await asyncio.sleep(_PAUSE_S)


async def _relay(connection: AsyncConnection, producer: EventProducer, partitions: int) -> None:
    while True:
        rows = await outbox.read_unsent(connection, limit=_BATCH)
        if rows:
            await producer.send_all(_records(rows, partitions))
            await outbox.mark_sent(connection, [row.id for row in rows])
        if len(rows) < _BATCH:
            await asyncio.sleep(_POLL_S)


def _records(rows: Sequence[OutboxRow], partitions: int) -> list[OutgoingRecord]:
    """Return the messages; the customer is the key, so one partition has them in order."""
    return [
        OutgoingRecord(home_partition(row.customer_id, partitions), row.customer_id.encode(), _message(row), [])
        for row in rows
    ]


def _message(row: OutboxRow) -> bytes:
    return msgspec.json.encode(
        {
            "id": row.id,
            "kind": row.kind,
            "organization_id": row.organization_id,
            "customer_id": row.customer_id,
            "created_at": row.created_at,
            "payload": msgspec.Raw(row.payload.encode()),
        }
    )
