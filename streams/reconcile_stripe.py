"""Asks Stripe for events that no webhook brought, and puts them into the inbox, from where they are applied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runtime.logging import get_logger
from sinks.postgres import inbox
from sinks.postgres.access import PostgresAccess
from sinks.postgres.inbox import InboxEvent
from sinks.postgres.job_cursors import RECONCILE_STRIPE, move_cursor, read_cursor
from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway
from sinks.stripe.webhooks import read_event
from sinks.stripe_events import inbox_event

log = get_logger(__name__)
_KEPT: Final = timedelta(days=30)
"""Stripe's list goes back so far."""
_OVERLAP: Final = timedelta(hours=2)
"""An event may be listed a little after its time, and clocks differ."""
_BATCH: Final = 100
_JSON = msgspec.json.Encoder(decimal_format="number")


async def reconcile(postgres: PostgresAccess, stripe: StripeGateway, *, now: datetime) -> int:
    """Store every event of the last 30 days that Stripe could not deliver, and return how many were new to us.

    What was listed once is in the inbox for good, so the next run begins a little before this one. An interrupted run
    moves nothing. Raises: Unavailable, StripeAPIError.
    """
    async with postgres.connection() as connection:
        reached_at = await read_cursor(connection, RECONCILE_STRIPE)
    oldest = now - _KEPT
    since = oldest if reached_at is None else max(oldest, reached_at - _OVERLAP)
    found, batch = 0, list[InboxEvent]()
    async for event in stripe.events.undelivered(since=since):
        batch.append(_stored_form(event))
        if len(batch) == _BATCH:
            found += await _put(postgres, batch)
            batch.clear()
    found += await _put(postgres, batch)
    async with postgres.connection() as connection:
        await move_cursor(connection, RECONCILE_STRIPE, now)
    if found:
        log.warning("events of Stripe's came by asking only", events=found, since=since.isoformat())
    return found


async def _put(postgres: PostgresAccess, events: Sequence[InboxEvent]) -> int:
    if not events:
        return 0
    async with postgres.connection() as connection:
        return len(await inbox.put_all(connection, events))


def _stored_form(event: Json) -> InboxEvent:
    raw = _JSON.encode(event)
    return inbox_event(read_event(raw), raw)
