"""`docs/architecture.md` says which logins to make: with these, and nothing more, everything works."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from cli.keys import make_key
from cli.ledger import read_books
from cli.migrate import apply_all
from runtime.errors import DatabaseError
from runtime.settings import Settings
from sinks.stripe.client import StripeGateway
from streams.billing_worker import run_billing
from streams.jobs import run_jobs
from streams.rebuild_clickhouse import rebuild_clickhouse
from streams.rebuild_postgres import rebuild_postgres
from streams.worker import claim_log, run_metering, run_warehouse
from tests.engines import TestStack, wait_for
from tests.integration.api.selling.subscribers import SOLO
from tests.integration.api.service import Service, running_service
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration
Worker = Callable[[Settings, asyncio.Event], Awaitable[None]]
TEXT = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
_PASSWORD: Final = "change-me"
_OWNER, _REQUESTS, _WORK = _NAMES = ("meterstream_owner", "meterstream_requests", "meterstream_background")
_PATIENCE_S: Final = 90
_BATCH: Final = {"Content-Type": "application/cloudevents-batch+json"}
_METER: Final = {"slug": "tokens", "event_type": "request", "aggregation": "SUM", "value_property": "$.tokens"}


@dataclass(frozen=True)
class Logins:
    """Settings of who makes tables, who answers requests, and who works."""

    owner: Settings
    requests: Settings
    work: Settings

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Look, as the owner."""
        with psycopg.connect(self.owner.postgres.url.get_secret_value(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def logins(stack: TestStack, settings: Settings, simulator: CheckedSimulator) -> Iterator[Logins]:
    """Made by the document's own statements under other names, on a server that has another Meterstream already."""
    tag = uuid.uuid4().hex[:10]
    names = {name: f"{name}_{tag}" for name in _NAMES}
    database = f"meterstream_{tag}"

    def of(name: str) -> Settings:
        url = make_conninfo(stack.postgres_url(database), user=names[name], password=_PASSWORD)
        postgres = settings.postgres.model_copy(update={"url": SecretStr(url)})
        return settings.model_copy(update={"postgres": postgres, "stripe": simulator.settings})

    def run(connection: psycopg.Connection, text: str) -> None:
        for name, other in names.items():
            text = text.replace(name, other)
        for statement in text.replace("database meterstream ", f"database {database} ").split(";\n"):
            connection.execute(statement.encode())

    make_owner, let_in, make_logins = re.findall(r"^```sql\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    made = Logins(of(_OWNER), of(_REQUESTS), of(_WORK))
    with psycopg.connect(stack.postgres_url("postgres"), autocommit=True) as administrator:
        try:
            run(administrator, make_owner)
            run(administrator, let_in)
            apply_all(made.owner)
            with psycopg.connect(made.owner.postgres.url.get_secret_value(), autocommit=True) as owner:
                run(owner, make_logins)
            yield made
        finally:
            run(administrator, f"drop database if exists {database} with (force)")
            for name in (_WORK, _REQUESTS, _OWNER):
                run(administrator, f"drop role if exists {name}")


@asynccontextmanager
async def running(settings: Settings, *workers: Worker) -> AsyncIterator[None]:
    """Run workers until the end of the block."""
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(worker(settings, stop)) for worker in workers]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def _use(service: Service) -> None:
    """Send events, one of which the meter cannot read, and wait for the number."""
    events = [
        {
            "specversion": "1.0",
            "id": str(n),
            "source": "s",
            "type": "request",
            "subject": f"c{n}",
            "data": {"tokens": n},
        }
        for n in (1, 2, 3, "many")
    ]
    with service.client(service.key("acme")) as acme:
        assert acme.post("/api/v1/meters", json=_METER).status_code == 201
        assert acme.post("/api/v1/events", json=events, headers=_BATCH).json() == {"accepted": 4, "rejected": []}

        def counted() -> bool:
            found = acme.get("/api/v1/meters/tokens/query").json()["data"]
            return [row["value"] for row in found] == ["6"]

        wait_for("the events are in both stores", counted, timeout_s=_PATIENCE_S)
        (letter,) = acme.get("/api/v1/dead-letters").json()["data"]
        answer = acme.post(f"/api/v1/dead-letters/{letter['id']}/discard", json={"reason": "no number"})
        assert answer.status_code == 200, answer.text


async def test_events_are_counted_and_only_the_owner_rebuilds(logins: Logins) -> None:
    with running_service(logins.requests, migrated=False) as service:
        async with running(logins.work, run_metering, run_warehouse):
            await asyncio.to_thread(_use, replace(service, settings=logins.owner))
    books, differences = await read_books(logins.work)
    assert (sum(hour.records for hour in books.hours), differences) == (4, [])
    topic = await claim_log(logins.work)
    for rebuild in (rebuild_postgres, rebuild_clickhouse):
        with pytest.raises(DatabaseError, match="42501"):
            await rebuild(logins.work, topic, progress=lambda *_: None)
        tables = await rebuild(logins.owner, topic, progress=lambda *_: None)
        assert [table for table in tables if not table.equal] == []
    for settings in (logins.work, logins.requests):
        with pytest.raises(DatabaseError, match="42501"):
            await make_key(settings, name="mine", organization=None, scopes=[], operator=True)


def _sell(service: Service) -> str:
    """Subscribe a customer; return the subscription's id."""
    with service.client(service.key("acme")) as acme, service.client() as anybody:
        made = [acme.post("/api/v1/plans", json={**SOLO, "activate": True})]
        made.append(acme.post("/api/v1/customers", json={"name": "Ada"}))
        customer = made[-1].json()["id"]
        card = {"customer_id": customer, "payment_method": "pm_card_visa", "default": True}
        made.append(acme.post("/api/v1/payment-methods", json=card))
        made.append(
            acme.post("/api/v1/subscriptions", json={"customer_id": customer, "plan": "solo", "interval": "month"})
        )
        assert [answer.status_code for answer in made] == [201] * 4, [answer.text for answer in made]
        assert len(anybody.get("/api/v1/plans", params={"organization": "acme"}).json()["data"]) == 1
        return str(made[-1].json()["id"])


async def test_stripe_is_followed(logins: Logins, simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as stripe:
        # Where nobody hears: the jobs have to ask for the events.
        await stripe.webhook_endpoints.create("endpoint", url="http://127.0.0.1:9/hooks", enabled_events=["*"])
    with running_service(logins.requests, migrated=False) as service:
        subscription = await asyncio.to_thread(_sell, replace(service, settings=logins.owner))
    states: set[str] = set()

    def followed() -> bool:
        # What a job has put in may be produced by the relay at once.
        logins.rows("update stripe_inbox set try_at = now() where state = 'received' and produced_at is null")
        states.clear()
        states.update(state for (state,) in logins.rows("select distinct state from stripe_inbox"))
        unsent = logins.rows("select 1 from outbox where sent_at is null")
        return bool(states) and "received" not in states and not unsent

    async with running(logins.work, run_billing, run_jobs):
        await asyncio.to_thread(wait_for, "all events are applied", followed, timeout_s=_PATIENCE_S)
    assert states == {"applied"}
    assert logins.rows(f"select status from subscriptions where id = '{subscription}'") == [("active",)]
    assert len(logins.rows("select 1 from outbox where sent_at is not null")) >= 2
