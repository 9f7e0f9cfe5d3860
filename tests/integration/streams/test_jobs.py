"""What is done by the clock: the queue's tables, the reconciliation with Stripe, the cleaning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from runtime.clock import utc_now
from runtime.settings import Settings
from sinks.postgres.job_cursors import read_cursor
from sinks.postgres.job_queue import job_queue
from sinks.postgres.migrate import migrate
from streams.jobs import add_jobs, run_jobs
from streams.reconcile_stripe import reconcile
from tests.integration.sinks.selling import Shop, open_shop
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration
_NOWHERE = "http://127.0.0.1:9/hooks"


@pytest.fixture
async def shop(settings: Settings, simulator: CheckedSimulator) -> AsyncIterator[Shop]:
    """A shop whose events are sent to nobody's address."""
    async with open_shop(settings.postgres.url.get_secret_value(), simulator.settings) as opened:
        await opened.stripe.webhook_endpoints.create("endpoint", url=_NOWHERE, enabled_events=["*"])
        yield opened


def _undelivered(simulator: CheckedSimulator) -> set[str]:
    return {event["id"] for event in simulator.objects("event") if event["pending_webhooks"]}


async def test_what_was_not_delivered_is_asked_for_once(shop: Shop, simulator: CheckedSimulator) -> None:
    for _ in range(3):
        await shop.customer()
    missed = _undelivered(simulator)
    assert len(missed) > 5
    now = utc_now()
    assert await reconcile(shop.postgres, shop.stripe, now=now) == len(missed)
    assert {row["event_id"] for row in shop.rows("select event_id from stripe_inbox")} == missed
    assert await reconcile(shop.postgres, shop.stripe, now=now) == 0
    await shop.customer()
    later = await reconcile(shop.postgres, shop.stripe, now=now + timedelta(hours=1))
    assert later == len(_undelivered(simulator) - missed)
    async with shop.postgres.connection() as connection:
        assert await read_cursor(connection, "reconcile_stripe") == now + timedelta(hours=1)


async def test_the_worker_reconciles_at_its_start(shop: Shop, settings: Settings, simulator: CheckedSimulator) -> None:
    await shop.customer()
    stop = asyncio.Event()
    running = asyncio.create_task(run_jobs(settings.model_copy(update={"stripe": simulator.settings}), stop))
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(shop.rows, "select 1 from stripe_inbox"):
            await asyncio.sleep(0.1)
    stop.set()
    await running
    assert {row["event_id"] for row in shop.rows("select event_id from stripe_inbox")} == _undelivered(simulator)


async def test_events_and_changes_of_long_ago_are_forgotten(shop: Shop, settings: Settings) -> None:
    await shop.customer()
    shop.rows(
        "insert into stripe_inbox (event_id, type, created_at, livemode, body, state, applied_at)"
        " select format('%%s_%%s', state, days), 'invoice.paid', now(), false, 'Ada', state, case when state in"
        " ('applied', 'ignored') then now() - make_interval(days => days) end"
        " from unnest(array['received', 'applied', 'ignored', 'parked']) state, unnest(array[29, 31]) days"
    )
    shop.rows(
        "insert into outbox (organization_id, customer_id, kind, payload, created_at, sent_at)"
        " select organization_id, id, format('sent %%s', days), '{}', now(), now() - make_interval(days => days)"
        " from customers, unnest(array[null, 29, 31]) days"
    )
    queue = job_queue(settings.postgres)
    add_jobs(queue, shop.postgres, shop.stripe)
    for _ in range(2):
        await queue.tasks["forget_followed"](timestamp=0)
    assert [row["kind"] for row in shop.rows("select kind from outbox order by id")] == ["sent ", "sent 29"]
    assert {row["event_id"] for row in shop.rows("select event_id from stripe_inbox where body = ''")} == {
        "applied_31",
        "ignored_31",
    }
    assert shop.rows("select count(*) from stripe_inbox where body = 'Ada'") == [{"count": 6}]


async def test_what_killed_workers_left_of_jobs_is_cleared_away(shop: Shop, settings: Settings) -> None:
    url = settings.postgres.url.get_secret_value()
    with psycopg.connect(url, options="-c search_path=procrastinate") as connection:
        connection.execute(
            "insert into procrastinate_jobs (queue_name, task_name, status)"
            " values ('default', 'reconcile_stripe', 'doing'), ('default', 'reconcile_stripe', 'todo')"
        )
    queue = job_queue(settings.postgres)
    add_jobs(queue, shop.postgres, shop.stripe)
    async with queue.open_async():
        await queue.tasks["forget_old_jobs"](timestamp=0)
    assert shop.rows("select status::text from procrastinate.procrastinate_jobs") == [{"status": "todo"}]


def test_the_queue_is_made_once_and_is_not_the_apis(postgres_url: str) -> None:
    assert migrate(postgres_url) == []
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("set role meterstream_worker")
        connection.execute("select count(*) from procrastinate.procrastinate_jobs")
        connection.execute("set role meterstream_api")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select count(*) from procrastinate.procrastinate_jobs")
