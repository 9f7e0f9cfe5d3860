"""Makes a Faust app on the micro-batch transport: `metering`, `warehouse` and `billing` are such."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP
from faust.types.auth import CredentialsT

from runtime.errors import MeterstreamError, UnexpectedError
from runtime.logging import get_logger
from runtime.settings import KafkaSettings, WorkerSettings
from runtime.telemetry import Telemetry
from sinks.kafka.connection import client_options
from streams.transport import BatchTransport, Starts

log = get_logger(__name__)

# Batches waiting between the fetcher and the agent, all partitions together; more only costs memory.
_BUFFERED_BATCHES = 1


def create_app(
    name: str, *, kafka: KafkaSettings, worker: WorkerSettings, state_dir: Path, starts: Starts, telemetry: Telemetry
) -> faust.App:
    """Return a new Faust app, not yet started; its id is the consumer group."""
    app = faust.App(
        kafka.topic_prefix + name,
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=kafka.session_timeout_ms / 1000,
        broker_heartbeat_interval=kafka.heartbeat_interval_ms / 1000,
        broker_rebalance_timeout=kafka.rebalance_timeout_s,
        broker_commit_interval=2.0,
        consumer_group_instance_id=worker.name or f"{socket.gethostname()}-{os.getpid()}",
        datadir=state_dir / "faust" / name,
        stream_buffer_maxsize=_BUFFERED_BATCHES,
        # The position in Postgres fences what a rebalance interrupts: nothing has to be waited for.
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        autodiscover=False,
    )
    app.transport = BatchTransport(app, kafka=kafka, worker=worker, starts=starts, telemetry=telemetry)
    return app


def _credentials(kafka: KafkaSettings) -> CredentialsT | None:
    options = client_options(kafka)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None


async def run_app(app: faust.App, stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Run a Faust app until `stop` is set, or `failed` or the app itself fails.

    Raises: what `failed` holds, what our part of the transport raised, or UnexpectedError with Faust's reason.
    """
    app.finalize()
    app.conf.datadir.mkdir(parents=True, exist_ok=True)
    await app.start()
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(stop.wait()),
        asyncio.ensure_future(app.wait_until_stopped()),
        asyncio.ensure_future(_crashed(app)),
        failed,
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits[:3]:
            wait.cancel()
        await app.stop()
    telemetry = cast(BatchTransport, app.transport).telemetry
    fetched = telemetry.registry.get_sample_value("meterstream_records_fetched_total")
    log.info("worker ends", app=app.conf.id, records_fetched=int(fetched or 0))
    if failed.done():
        failed.result()
    if isinstance(app.crash_reason, MeterstreamError):
        raise app.crash_reason
    if app.crashed:
        raise UnexpectedError(f"Faust gave up: {app.crash_reason!r}") from app.crash_reason


async def _crashed(app: faust.App) -> None:
    await app._crashed.wait()


def lags_of(app: faust.App, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
    """Return how many records of our partitions are not done yet, as far as the broker told."""
    ends = {partition: app.consumer.highwater(TP(topic, partition)) for partition in positions}
    return {partition: max(0, (end or 0) - positions[partition]) for partition, end in ends.items()}
