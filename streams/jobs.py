"""Composition root of `meterstream worker jobs`: what is done by the clock, through a queue in Postgres."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import Final

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from runtime.clock import utc_now
from runtime.logging import get_logger
from runtime.settings import Settings
from runtime.tasks import end_tasks
from runtime.telemetry import Telemetry
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.postgres.idempotency import forget_old
from sinks.postgres.job_queue import job_queue
from sinks.postgres.migrate import require_migrated
from sinks.postgres.pool import connect
from sinks.stripe.client import StripeGateway
from sinks.stripe_account import require_same_account
from streams.delivery import begin_work
from streams.forget_old import forget_followed
from streams.health import WorkerHealth, serve_health
from streams.reconcile_stripe import reconcile

log = get_logger(__name__)
_STOP_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 2.0
_KEEP_FAILED_H: Final = 30 * 24
_TRIES: Final = procrastinate.RetryStrategy(max_attempts=6, exponential_wait=4)


def add_jobs(queue: procrastinate.App, postgres: PostgresAccess, stripe: StripeGateway) -> None:
    """Add every job. One that is queued already is not queued again.

    None takes a `lock`: procrastinate keeps that with the row of a job whose worker was killed, and so nothing that
    needs it would ever run again. Every job here may run twice at once and be begun anew at any point.
    """

    @queue.periodic(cron="17 * * * *")
    @queue.task(name="reconcile_stripe", queueing_lock="reconcile_stripe", retry=_TRIES)
    async def reconcile_stripe(timestamp: int) -> None:
        del timestamp  # when it was due
        await reconcile(postgres, stripe, now=utc_now())

    @queue.periodic(cron="43 3 * * *")
    @queue.task(name="forget_idempotency_keys", queueing_lock="forget_idempotency_keys", retry=_TRIES)
    async def forget_idempotency_keys(timestamp: int) -> None:
        del timestamp
        async with postgres.connection() as connection:
            await forget_old(connection)

    @queue.periodic(cron="48 3 * * *")
    @queue.task(name="forget_followed", queueing_lock="forget_followed", retry=_TRIES)
    async def forget_old_events_and_changes(timestamp: int) -> None:
        del timestamp
        await forget_followed(postgres)

    @queue.periodic(cron="53 3 * * *")
    @queue.task(name="forget_old_jobs", queueing_lock="forget_old_jobs", retry=_TRIES)
    async def forget_old_jobs(timestamp: int) -> None:
        del timestamp
        await _forget_stalled(queue)
        await queue.job_manager.delete_old_jobs(_KEEP_FAILED_H, include_failed=True)


async def run_jobs(settings: Settings, stop: asyncio.Event) -> None:
    """Do what is due until `stop` is set; jobs in hand are finished.

    Raises: RefusedToStart, Unavailable when Postgres does not answer for `worker.retry_max_s` at the start.
    """
    telemetry = Telemetry()
    if await begin_work(lambda: _check(settings), settings.worker, telemetry, stop) is None:
        return
    async with AsyncExitStack() as stack:
        stripe = await stack.enter_async_context(StripeGateway(settings.stripe))
        postgres = PostgresAccess(settings.postgres, service="jobs", role=WORKER_ROLE)
        await postgres.open()
        stack.push_async_callback(postgres.close)
        health = WorkerHealth("jobs", telemetry, settings.api.stalled_after_s, lags=dict, has_partitions=False)
        runner, port = await serve_health(health, host=settings.worker.host, port=settings.worker.port)
        stack.push_async_callback(runner.cleanup)
        log.info("jobs start", health_port=port)
        while not stop.is_set():
            queue = job_queue(settings.postgres)
            add_jobs(queue, postgres, stripe)
            try:
                await _work(queue, stop)
            except (ConnectorException, OSError) as exc:
                log.warning("the queue does not answer; trying again", reason=str(exc) or type(exc).__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await stop.wait()


async def _check(settings: Settings) -> bool:
    with connect(settings.postgres, service="jobs") as connection:
        require_migrated(connection)
    await require_same_account(settings, service="jobs", role=WORKER_ROLE)
    return True


async def _work(queue: procrastinate.App, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises: what the queue raises when Postgres goes away."""
    async with queue.open_async():
        # What fell due while no worker ran is not made up for; this one job finds all that was missed.
        with suppress(AlreadyEnqueued):
            await queue.tasks["reconcile_stripe"].defer_async(timestamp=int(time.time()))
        working = asyncio.create_task(
            queue.run_worker_async(
                install_signal_handlers=False, delete_jobs="successful", shutdown_graceful_timeout=_STOP_PATIENCE_S
            ),
            name="jobs",
        )
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                await working
        finally:
            # A second cancellation would end the jobs in hand: not before their time is up.
            await end_tasks(working, stopping, again_s=_STOP_PATIENCE_S + 1)


async def _forget_stalled(queue: procrastinate.App) -> None:
    """Delete the jobs that killed workers left behind: whatever they were about was done again since."""
    for job in await queue.job_manager.get_stalled_jobs():
        await queue.job_manager.finish_job(job, Status.FAILED, delete_job=True)
