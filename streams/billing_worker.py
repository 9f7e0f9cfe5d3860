"""Composition root of `meterstream worker billing`: Stripe's events in, our changes out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from metering.topics import BILLING_CHANGES, STRIPE_EVENTS
from runtime.logging import get_logger
from runtime.settings import Settings, StripeSettings
from runtime.tasks import end_tasks
from runtime.telemetry import Telemetry
from sinks.kafka.group_positions import group_positions
from sinks.kafka.producer import EventProducer
from sinks.kafka.topics import check_topic, topic_name
from sinks.mirror import Mirror
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.postgres.migrate import require_migrated
from sinks.postgres.pool import connect
from sinks.stripe.client import StripeGateway
from sinks.stripe_account import require_same_account
from streams.app import create_app, lags_of, run_app
from streams.apply_stripe_events import BillingTools, StripeEvents
from streams.delivery import begin_work
from streams.health import WorkerHealth, serve_health
from streams.inbox_relay import relay_inbox
from streams.outbox_relay import relay_outbox

log = get_logger(__name__)
_BUFFER_BYTES = 64_000_000
# Of one object; what fails longer is tried again later, and holds up nobody meanwhile.
_STRIPE_TRIES, _STRIPE_PATIENCE_S = 3, 15.0


async def run_billing(settings: Settings, stop: asyncio.Event) -> None:
    """Let Postgres follow Stripe until `stop` is set; the events in hand are finished.

    Raises: RefusedToStart, Unavailable after `worker.retry_max_s`, and bugs as they are.
    """
    telemetry = Telemetry()
    topic = await begin_work(lambda: _check(settings), settings.worker, telemetry, stop)
    if topic is None:
        return
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(StripeGateway(_impatient(settings.stripe)))
        postgres = PostgresAccess(settings.postgres, service="billing", role=WORKER_ROLE)
        await postgres.open()
        stack.push_async_callback(postgres.close)
        group = settings.kafka.topic_prefix + "billing"
        tools = BillingTools(
            topic=topic,
            postgres=postgres,
            mirror=Mirror(postgres, gateway),
            telemetry=telemetry,
            committed=lambda: group_positions(settings.kafka, group=group, topic=topic),
            give_up_s=settings.worker.retry_max_s,
        )
        events = StripeEvents(tools)
        stack.push_async_callback(events.close)
        app = create_app(
            "billing",
            kafka=settings.kafka,
            worker=settings.worker,
            state_dir=settings.state_dir,
            starts=events.starts,
            telemetry=telemetry,
        )
        events.add_to(app)
        health = WorkerHealth(
            "billing",
            telemetry,
            settings.api.stalled_after_s,
            lags=lambda: lags_of(app, topic, events.positions()),
        )
        events.on_progress = health.progressed
        runner, port = await serve_health(health, host=settings.worker.host, port=settings.worker.port)
        stack.push_async_callback(runner.cleanup)
        await _start_relays(settings, postgres, events, stack)
        log.info("billing starts", health_port=port, topic=topic)
        await run_app(app, stop, events.failed)


async def _check(settings: Settings) -> str:
    """Return the topic of Stripe's events once all that is needed is there. Raises: RefusedToStart, Unavailable."""
    identity = await check_topic(settings.kafka, STRIPE_EVENTS)
    await check_topic(settings.kafka, BILLING_CHANGES)
    with connect(settings.postgres, service="billing") as connection:
        require_migrated(connection)
    await require_same_account(settings, service="billing", role=WORKER_ROLE)
    return identity.topic


async def _start_relays(
    settings: Settings, postgres: PostgresAccess, events: StripeEvents, stack: AsyncExitStack
) -> None:
    """Produce what waits in Postgres, in and out; a relay that meets a bug stops the worker."""
    partitions = settings.kafka.partitions
    inwards = await _producer(settings, STRIPE_EVENTS, stack)
    outwards = await _producer(settings, BILLING_CHANGES, stack)
    for name, relay in (
        ("inbox-relay", relay_inbox(postgres, inwards, partitions=partitions)),
        ("outbox-relay", relay_outbox(settings.postgres, outwards, partitions=partitions)),
    ):
        task = asyncio.create_task(relay, name=name)
        task.add_done_callback(events.task_ended)
        stack.push_async_callback(end_tasks, task)


async def _producer(settings: Settings, topic: str, stack: AsyncExitStack) -> EventProducer:
    producer = EventProducer(
        settings.kafka,
        topic=topic_name(settings.kafka, topic),
        timeout_s=settings.api.produce_timeout_s,
        buffer_bytes=_BUFFER_BYTES,
    )
    await producer.start()
    stack.push_async_callback(producer.stop)
    return producer


def _impatient(stripe: StripeSettings) -> StripeSettings:
    return stripe.model_copy(
        update={
            "max_tries": min(stripe.max_tries, _STRIPE_TRIES),
            "give_up_s": min(stripe.give_up_s, _STRIPE_PATIENCE_S),
        }
    )
