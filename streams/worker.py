"""Composition root of the background workers: `meterstream worker metering|warehouse`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from metering.topics import USAGE_EVENTS
from runtime.logging import get_logger
from runtime.settings import Settings
from runtime.telemetry import Telemetry
from sinks.clickhouse.client import ClickhouseClient
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.ledger import last_offsets, refuse_if_ahead
from sinks.clickhouse.loads import LoadWriter
from sinks.clickhouse.migrate import require_migrated as require_clickhouse_migrated
from sinks.kafka.log_reader import LogReader
from sinks.kafka.producer import EventProducer
from sinks.kafka.topic_identity import TopicIdentity
from sinks.kafka.topics import check_topic
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.loads import intended_positions
from sinks.postgres.migrate import require_migrated
from sinks.postgres.pool import connect
from sinks.postgres.positions import claim_topic, read_positions, refuse_lost_log
from streams.app import create_app, lags_of, run_app
from streams.delivery import begin_work
from streams.health import WorkerHealth, serve_health
from streams.meter_usage import UsageMetering
from streams.partition_loader import WarehouseTools
from streams.partition_meter import MeteringTools
from streams.store_usage import UsageWarehouse

log = get_logger(__name__)


async def claim_log(settings: Settings) -> TopicIdentity:
    """Check what exact counting stands on, once, before any work.

    Raises: RefusedToStart with the reason and the way out, Unavailable.
    """
    identity = await check_topic(settings.kafka, USAGE_EVENTS)
    # As the login: before the first migration there is no role to act as.
    with connect(settings.postgres, service="worker") as connection:
        require_migrated(connection)
    with connect(settings.postgres, service="worker", role=WORKER_ROLE) as connection:
        claim_topic(
            connection,
            topic=identity.topic,
            topic_id=identity.topic_id,
            cluster_id=identity.cluster_id,
            partitions=identity.partitions,
        )
        positions = read_positions(connection, identity.topic)
    # The ends after the positions: other workers are at work.
    async with LogReader(settings.kafka, identity.topic) as reader:
        refuse_lost_log(identity.topic, positions, await reader.bounds(range(identity.partitions)))
    return identity


async def run_metering(settings: Settings, stop: asyncio.Event) -> None:
    """Count usage until `stop` is set; the blocks in hand are finished.

    Raises: RefusedToStart, Unavailable after `worker.retry_max_s`, and bugs as they are.
    """
    worker, telemetry = settings.worker, Telemetry()
    identity = await begin_work(lambda: claim_log(settings), settings.worker, telemetry, stop)
    if identity is None:
        return
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(LogReader(settings.kafka, identity.topic))
        # It only ever holds what the blocks in hand forward: their size bounds it, not the buffer.
        producer = EventProducer(
            settings.kafka, topic=identity.topic, timeout_s=settings.api.produce_timeout_s, buffer_bytes=1 << 40
        )
        await producer.start()
        stack.push_async_callback(producer.stop)
        tools = MeteringTools(
            topic=identity,
            postgres=settings.postgres,
            index_dir=worker.index_dir or settings.state_dir / "first_seen",
            default_organization=worker.default_organization,
            reader=reader,
            producer=producer,
            threads=stack.enter_context(ThreadPoolExecutor(worker.threads, thread_name_prefix="block")),
            merges=stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="merge")),
            telemetry=telemetry,
        )
        metering = UsageMetering(tools, max_records=worker.block_max_records, give_up_s=worker.retry_max_s)
        stack.push_async_callback(metering.close)
        app = create_app(
            "metering",
            kafka=settings.kafka,
            worker=worker,
            state_dir=settings.state_dir,
            starts=metering.starts,
            telemetry=telemetry,
        )
        metering.add_to(app)
        health = WorkerHealth(
            "metering",
            tools.telemetry,
            settings.api.stalled_after_s,
            lags=lambda: lags_of(app, identity.topic, metering.positions()),
            rebuilding=lambda: metering.rebuilding,
        )
        tools.on_progress = health.progressed
        runner, port = await serve_health(health, host=worker.host, port=worker.port)
        stack.push_async_callback(runner.cleanup)
        log.info("metering starts", health_port=port, topic=identity.topic, partitions=identity.partitions)
        await run_app(app, stop, metering.failed)


async def run_warehouse(settings: Settings, stop: asyncio.Event) -> None:
    """Feed ClickHouse with what was counted until `stop` is set; the loads in hand are finished.

    Raises: RefusedToStart, Unavailable after `worker.retry_max_s`, and bugs as they are.
    """
    worker, telemetry = settings.worker, Telemetry()
    begun = await begin_work(lambda: _open_warehouse(settings), settings.worker, telemetry, stop)
    if begun is None:
        return
    identity, clickhouse = begun
    async with AsyncExitStack() as stack:
        stack.callback(clickhouse.close)
        reader = await stack.enter_async_context(LogReader(settings.kafka, identity.topic))
        tools = WarehouseTools(
            topic=identity,
            postgres=settings.postgres,
            writer=LoadWriter(clickhouse, identity.topic),
            default_organization=worker.default_organization,
            reader=reader,
            threads=stack.enter_context(ThreadPoolExecutor(worker.threads, thread_name_prefix="load")),
            telemetry=telemetry,
            max_records=worker.load_max_records,
            wait_s=worker.load_wait_s,
            give_up_s=worker.retry_max_s,
        )
        warehouse = UsageWarehouse(tools)
        stack.push_async_callback(warehouse.close)
        app = create_app(
            "warehouse",
            kafka=settings.kafka,
            worker=worker,
            state_dir=settings.state_dir,
            starts=warehouse.starts,
            telemetry=telemetry,
        )
        warehouse.add_to(app)
        health = WorkerHealth(
            "warehouse",
            tools.telemetry,
            settings.api.stalled_after_s,
            lags=lambda: lags_of(app, identity.topic, warehouse.positions()),
        )
        tools.on_progress = health.progressed
        runner, port = await serve_health(health, host=worker.host, port=worker.port)
        stack.push_async_callback(runner.cleanup)
        log.info("warehouse starts", health_port=port, topic=identity.topic, partitions=identity.partitions)
        await run_app(app, stop, warehouse.failed)


async def _open_warehouse(settings: Settings) -> tuple[TopicIdentity, ClickhouseClient]:
    identity = await claim_log(settings)
    clickhouse = await asyncio.to_thread(connect_clickhouse, settings.clickhouse, service="warehouse")
    try:
        await asyncio.to_thread(_check_warehouse, settings, clickhouse, identity.topic)
    except BaseException:
        clickhouse.close()
        raise
    return identity, clickhouse


def _check_warehouse(settings: Settings, clickhouse: ClickhouseClient, topic: str) -> None:
    """Refuse a ClickHouse without our schema, or one that knows more than Postgres."""
    require_clickhouse_migrated(clickhouse)
    stored = last_offsets(clickhouse, topic)
    with connect(settings.postgres, service="warehouse", role=WORKER_ROLE) as connection:
        refuse_if_ahead(stored, intended_positions(connection, topic))
