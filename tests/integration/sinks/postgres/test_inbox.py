"""The inbox of Stripe's events when several write to it at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from runtime.clock import utc_now
from runtime.settings import PostgresSettings
from sinks.postgres import inbox
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.postgres.inbox import InboxEvent, Settled

pytestmark = pytest.mark.integration


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresAccess]:
    settings = PostgresSettings(url=SecretStr(postgres_url), pool_min=0)
    opened = PostgresAccess(settings, service="test", role=WORKER_ROLE)
    await opened.open()
    yield opened
    await opened.close()


def event(name: str) -> InboxEvent:
    return InboxEvent(name, "invoice.paid", utc_now(), False, "in_1", "cus_1", b"{}")


def only_row(postgres_url: str) -> dict[str, Any]:
    with psycopg.connect(postgres_url, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute("select *, try_at - now() due_in from stripe_inbox").fetchone()
    assert row is not None
    return row


async def test_the_same_events_put_in_by_two_in_any_order_are_stored_once(postgres: PostgresAccess) -> None:
    async def put(events: list[InboxEvent]) -> int:
        async with postgres.connection() as connection:
            return len(await inbox.put_all(connection, events))

    for batch in range(30):
        events = [event(f"evt_{batch}_{number:03}") for number in range(500)]
        assert sum(await asyncio.gather(put(events), put(events[::-1]))) == 500


@pytest.mark.parametrize("outage", [True, False])
async def test_who_produced_an_event_first_does_not_hasten_its_next_try(
    postgres: PostgresAccess, postgres_url: str, outage: bool
) -> None:
    """The worker may have failed at it before the API notes that Kafka has it."""
    async with postgres.connection() as connection:
        await inbox.put_all(connection, [event("evt_1")])
        failed = Settled("evt_1", "received", "UNAVAILABLE: …", 5_000, outage=outage)
        await inbox.settle(connection, [failed])
        await inbox.mark_produced(connection, ["evt_1"], untried=True)
    row = only_row(postgres_url)
    assert (row["tries"], row["outages"]) == ((0, 1) if outage else (1, 0))
    assert row["due_in"].total_seconds() > 4_900
    async with postgres.connection() as connection:
        await inbox.mark_produced(connection, ["evt_1"])
    assert 800 < only_row(postgres_url)["due_in"].total_seconds() <= 900
