"""Stripe's events as they came: stored before they are answered, and what became of each.

Whatever is `received` and due is produced to Kafka by a relay. So a failed event is tried again by making it due later,
and nothing is lost with the log or a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

from psycopg import AsyncConnection
from psycopg.rows import class_row

from runtime.errors import ConflictError, NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL = load("inbox")
State: TypeAlias = Literal["received", "applied", "ignored", "parked"]


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An event on its way in."""

    event_id: str
    type: str
    created_at: datetime
    livemode: bool
    object_id: str | None
    stripe_customer_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An event as operators see it."""

    event_id: str
    type: str
    created_at: datetime
    livemode: bool
    object_id: str | None
    stripe_customer_id: str | None
    state: State
    tries: int
    error: str | None
    received_at: datetime
    produced_at: datetime | None
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an event; `received` with an error is tried again after `delay_s`. An outage counts as no try."""

    event_id: str
    state: State
    error: str | None = None
    delay_s: float = 0.0
    outage: bool = False


class Failed(NamedTuple):
    """What an event went through that is still to be applied."""

    tries: int
    outages: int
    """In a row, the last ones."""


class Place(NamedTuple):
    """A row's place in the list."""

    received_at: datetime
    event_id: str


async def put_all(connection: AsyncConnection, events: Sequence[InboxEvent]) -> set[str]:
    """Store events and return the ids that were not there yet."""
    values = {
        "ids": [event.event_id for event in events],
        "types": [event.type for event in events],
        "created_at": [event.created_at for event in events],
        "livemodes": [event.livemode for event in events],
        "object_ids": [event.object_id for event in events],
        "customer_ids": [event.stripe_customer_id for event in events],
        "bodies": [event.body for event in events],
    }
    with translated_errors():
        return {row[0] for row in await (await connection.execute(_SQL["put_all"], values)).fetchall()}


async def mark_produced(connection: AsyncConnection, ids: Iterable[str], *, untried: bool = False) -> None:
    """Note that Kafka has these; with `untried` only if nobody has tried to apply them since."""
    with translated_errors():
        await connection.execute(_SQL["mark_produced"], {"ids": list(ids), "untried": untried})


async def take_due(connection: AsyncConnection, *, limit: int) -> list[InboxEvent]:
    """Return events that are due, locked until the end of the transaction."""
    return await fetch_all(connection, InboxEvent, _SQL["take_due"], {"limit": limit})


async def find_oldest(connection: AsyncConnection) -> datetime | None:
    """Return since when an event waits to be applied; one that failed waits once it is due again."""
    with translated_errors():
        row = await (await connection.execute(_SQL["find_oldest"])).fetchone()
    return None if row is None else row[0]


async def read_open(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Failed]:
    """Return which of these are still to be applied, and how often each failed."""
    with translated_errors():
        found = await connection.execute(_SQL["read_open"], {"ids": list(ids)})
        return {event_id: Failed(tries, outages) for event_id, tries, outages in await found.fetchall()}


async def settle(connection: AsyncConnection, outcomes: Sequence[Settled]) -> None:
    """Note what became of events that were still to be applied."""
    values = {
        "ids": [outcome.event_id for outcome in outcomes],
        "states": [outcome.state for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "delays": [outcome.delay_s for outcome in outcomes],
        "outages": [outcome.outage for outcome in outcomes],
    }
    with translated_errors():
        await connection.execute(_SQL["settle"], values)


async def hasten(connection: AsyncConnection, *, limit: int) -> int:
    """Make due what waits because of an outage, the first due first, and return how many these were."""
    with translated_errors():
        return (await connection.execute(_SQL["hasten"], {"limit": limit})).rowcount


async def known_ids(connection: AsyncConnection, ids: Iterable[str]) -> set[str]:
    """Return which of these events we have."""
    with translated_errors():
        found = await connection.execute(_SQL["known_ids"], {"ids": list(ids)})
        return {row[0] for row in await found.fetchall()}


async def list_events(connection: AsyncConnection, *, state: State, after: Place | None, limit: int) -> list[InboxRow]:
    """Return events in a state, the newest first."""
    received_at, event_id = after or (None, None)
    values = {"state": state, "received_at": received_at, "event_id": event_id, "limit": limit}
    return await fetch_all(connection, InboxRow, _SQL["list_events"], values)


async def retry(connection: AsyncConnection, event_id: str) -> InboxRow:
    """Make a parked event due. Raises: NotFoundError, ConflictError for one that is not parked."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(InboxRow)) as cursor:
            await cursor.execute(_SQL["retry"], {"event_id": event_id})
            row = await cursor.fetchone()
        if row is not None:
            return row
        found = await (await connection.execute(_SQL["find_state"], {"event_id": event_id})).fetchone()
    if found is None:
        raise NotFoundError(f"No event {event_id!r} was received.", code="STRIPE_EVENT_NOT_FOUND")
    raise ConflictError(
        f"Event {event_id} is {found[0]}; only parked events are tried again.", code="STRIPE_EVENT_NOT_PARKED"
    )


async def empty_old(connection: AsyncConnection, *, kept: timedelta, limit: int) -> int:
    """Empty the bodies of events that something became of so long ago, and return how many it were."""
    with translated_errors():
        return (await connection.execute(_SQL["empty_old"], {"kept": kept, "limit": limit})).rowcount
