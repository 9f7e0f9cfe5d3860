"""Stripe's events from the inbox through Kafka to our rows, and our changes out again, by the worker itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from metering.topics import BILLING_CHANGES, STRIPE_EVENTS
from runtime.clock import utc_now
from runtime.errors import StripeAPIError
from runtime.settings import Settings
from sinks.kafka.producer import EventProducer
from sinks.kafka.topics import create_topics, topic_name
from sinks.postgres import inbox
from sinks.stripe.payment_methods import PaymentMethods
from sinks.stripe.webhooks import read_event
from sinks.stripe_events import inbox_event
from streams.billing_worker import run_billing
from streams.inbox_relay import relay_inbox
from tests.integration.api.service import read_topic
from tests.integration.sinks.selling import Shop, open_shop
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration
_PATIENCE_S = 60


@pytest.fixture
async def shop(settings: Settings, simulator: CheckedSimulator) -> AsyncIterator[Shop]:
    """A shop of this test alone."""
    await create_topics(settings.kafka)
    async with open_shop(settings.postgres.url.get_secret_value(), simulator.settings) as opened:
        yield opened


@asynccontextmanager
async def _billing(settings: Settings, simulator: CheckedSimulator) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(run_billing(settings.model_copy(update={"stripe": simulator.settings}), stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def _receive_all(shop: Shop, simulator: CheckedSimulator) -> int:
    """Put every event that the simulator has written into the inbox, as the API does."""
    events = []
    for each in simulator.objects("event"):
        raw = json.dumps(each).encode()
        events.append(inbox_event(read_event(raw), raw))
    async with shop.postgres.connection() as connection:
        return len(await inbox.put_all(connection, events))


async def _until_settled(shop: Shop) -> dict[str, int]:
    count = "select state, count(*) from stripe_inbox group by state"
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            found = {row["state"]: row["count"] for row in await asyncio.to_thread(shop.rows, count)}
            if "received" not in found:
                return found
            await asyncio.sleep(0.1)


async def test_events_become_rows_and_rows_become_messages(
    shop: Shop, settings: Settings, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    items: Any = [{"price": shop.prices["monthly"], "quantity": 2}]
    subscription = await shop.stripe.subscriptions.create("s", customer=theirs, items=items)
    stranger = await shop.stripe.customers.create("stranger", name="Eve")
    coupon = await shop.stripe.coupons.create("coupon", percent_off=10, duration="once")
    promotion: Any = {"type": "coupon", "coupon": coupon["id"]}
    await shop.stripe.promotion_codes.create("code", promotion=promotion)
    await _receive_all(shop, simulator)
    shop.rows("update stripe_inbox set try_at = now()")
    async with _billing(settings, simulator):
        states = await _until_settled(shop)
        assert states["applied"] > 5
        # Of a stranger, and of types that nothing follows.
        ignored = shop.rows("select type from stripe_inbox where state = 'ignored' order by 1")
        assert [row["type"] for row in ignored] == ["coupon.created", "customer.created", "promotion_code.created"]
        assert "parked" not in states
        row = shop.row("subscriptions", subscription["id"])
        assert (row["status"], row["quantity"]) == ("active", 2)
        assert shop.row("invoices", subscription["latest_invoice"])["status"] == "paid"
        assert shop.rows("select 1 from customers where stripe_customer_id = %s", [stranger["id"]]) == []
        unsent = "select 1 from outbox where sent_at is null"
        async with asyncio.timeout(_PATIENCE_S):
            while await asyncio.to_thread(shop.rows, unsent):
                await asyncio.sleep(0.1)
    topic = topic_name(settings.kafka, BILLING_CHANGES)
    messages = [json.loads(record.value) for record in await read_topic(settings, topic)]
    stored = shop.rows("select id, kind, customer_id::text from outbox order by id")
    assert [{name: each[name] for name in ("id", "kind", "customer_id")} for each in messages] == stored
    assert messages[0]["payload"]["changes"][0]["kind"] == "created"


async def test_an_event_that_always_fails_is_parked_and_holds_up_nobody(
    shop: Shop, settings: Settings, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    # No subscription of Stripe's has such an id, which is an error of the call and not an absence.
    bad = {"id": "evt_bad", "object": "event", "type": "customer.subscription.updated", "livemode": False,
           "created": int(utc_now().timestamp()), "data": {"object": {"id": "...", "customer": theirs}}}  # fmt: skip
    raw = json.dumps(bad).encode()
    async with shop.postgres.connection() as connection:
        await inbox.put_all(connection, [inbox_event(read_event(raw), raw)])
    await _receive_all(shop, simulator)
    hurry = "update stripe_inbox set try_at = now() where state = 'received'"
    async with _billing(settings, simulator), asyncio.timeout(_PATIENCE_S):
        while (await asyncio.to_thread(shop.rows, "select state from stripe_inbox where event_id = 'evt_bad'"))[0][
            "state"
        ] == "received":
            # Its next try is later each time; the test does not wait for that.
            await asyncio.to_thread(shop.rows, hurry)
            await asyncio.sleep(0.3)
        assert "received" not in await _until_settled(shop)
    (parked,) = shop.rows("select * from stripe_inbox where state = 'parked'")
    assert (parked["event_id"], parked["tries"]) == ("evt_bad", 8)
    assert parked["error"].startswith("INVALID_INPUT: ")
    assert shop.row("customers", theirs)["name"] == "Ada"


async def test_an_event_that_is_too_large_for_kafka_holds_up_nobody(
    shop: Shop, settings: Settings, simulator: CheckedSimulator
) -> None:
    """A webhook cannot bring such a one; Stripe's list can."""
    _, theirs = await shop.customer()
    items: Any = [{"price": shop.prices["monthly"]}]
    subscription = await shop.stripe.subscriptions.create("s", customer=theirs, items=items)
    large = next(event for event in simulator.objects("event") if event["type"] == "invoice.paid")
    large["data"]["object"]["lines"]["data"] *= 2_000
    raw = json.dumps(large).encode()
    assert len(raw) > 1_100_000
    async with shop.postgres.connection() as connection:
        await inbox.put_all(connection, [inbox_event(read_event(raw), raw)])
    await _receive_all(shop, simulator)
    shop.rows("update stripe_inbox set try_at = now()")
    async with _billing(settings, simulator):
        assert (await _until_settled(shop)).keys() == {"applied"}
    assert shop.row("invoices", subscription["latest_invoice"])["status"] == "paid"


async def test_while_stripe_is_down_events_wait_and_none_is_parked(
    shop: Shop, settings: Settings, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    await _receive_all(shop, simulator)
    down = simulator.settings.model_copy(update={"api_base": "http://127.0.0.1:9", "max_tries": 1})
    stop = asyncio.Event()
    running = asyncio.create_task(run_billing(settings.model_copy(update={"stripe": down}), stop))
    hurry = "update stripe_inbox set try_at = now() where state = 'received'"
    failed = "select min(outages) outages from stripe_inbox where stripe_customer_id = %s"
    async with asyncio.timeout(_PATIENCE_S):
        while (await asyncio.to_thread(shop.rows, failed, [theirs]))[0]["outages"] < 10:
            await asyncio.to_thread(shop.rows, hurry)
            await asyncio.sleep(0.2)
    stop.set()
    await running
    assert shop.rows("select max(tries) tries from stripe_inbox") == [{"tries": 0}]
    # All wait for minutes; when one of them is applied, so are the others.
    shop.rows("update stripe_inbox set try_at = now() + interval '10 minutes' where state = 'received'")
    first = "select min(event_id) from stripe_inbox where state = 'received'"
    shop.rows(f"update stripe_inbox set try_at = now() where event_id = ({first})")
    async with _billing(settings, simulator):
        assert "parked" not in await _until_settled(shop)
    assert shop.row("customers", theirs)["name"] == "Ada"


async def test_what_our_key_may_not_read_is_parked(
    shop: Shop, settings: Settings, simulator: CheckedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restricted key without the right to read one kind of object: the others go on, and somebody has to look."""

    async def refuse(*_: Any, **__: Any) -> Any:
        raise StripeAPIError("Stripe does not accept our API key for this call.", status=403)

    monkeypatch.setattr(PaymentMethods, "get", refuse)
    _, theirs = await shop.customer()
    await _receive_all(shop, simulator)
    hurry = "update stripe_inbox set try_at = now() where state = 'received'"
    async with _billing(settings, simulator), asyncio.timeout(_PATIENCE_S):
        while await asyncio.to_thread(shop.rows, "select 1 from stripe_inbox where state = 'received'"):
            await asyncio.to_thread(shop.rows, hurry)
            await asyncio.sleep(0.3)
    parked = {row["type"] for row in shop.rows("select type from stripe_inbox where state = 'parked'")}
    assert parked == {"payment_method.attached"}
    assert shop.row("customers", theirs)["name"] == "Ada"


async def test_events_that_postgres_has_lost_come_back_from_the_log(
    shop: Shop, settings: Settings, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    stored = await _receive_all(shop, simulator)
    shop.rows("update stripe_inbox set try_at = now()")
    topic = topic_name(settings.kafka, STRIPE_EVENTS)
    producer = EventProducer(settings.kafka, topic=topic, timeout_s=10, buffer_bytes=1 << 24)
    await producer.start()
    relay = asyncio.create_task(relay_inbox(shop.postgres, producer, partitions=settings.kafka.partitions))
    async with asyncio.timeout(_PATIENCE_S):
        while await asyncio.to_thread(shop.rows, "select 1 from stripe_inbox where produced_at is null"):
            await asyncio.sleep(0.1)
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    await producer.stop()
    shop.rows("delete from stripe_inbox")
    async with _billing(settings, simulator), asyncio.timeout(_PATIENCE_S):
        while sum((await _until_settled(shop)).values()) < stored:
            await asyncio.sleep(0.1)
    assert shop.row("customers", theirs)["name"] == "Ada"
