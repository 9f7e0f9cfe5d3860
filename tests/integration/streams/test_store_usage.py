"""The warehouse workers as they are started: they share partitions, follow the journal, refuse what is not right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtime.errors import RefusedToStart
from sinks.clickhouse.client import command
from sinks.postgres.loads import warehouse_positions
from streams.worker import run_warehouse
from tests.integration.streams.metered_log import PARTITIONS, MeteredLog

pytestmark = pytest.mark.integration


@asynccontextmanager
async def a_worker(log: MeteredLog, name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker of that name until the end of the block."""
    worker = log.settings.worker.model_copy(update={"name": name, "load_wait_s": 0.2, "load_max_records": 2_000})
    stop = asyncio.Event()
    running = asyncio.create_task(run_warehouse(log.settings.model_copy(update={"worker": worker}), stop))
    try:
        yield running
    finally:
        stop.set()
        await running


async def caught_up(log: MeteredLog, *workers: asyncio.Task[None]) -> None:
    """Wait until the warehouse stands where metering does."""
    deadline = time.monotonic() + 90
    while warehouse_positions(log.postgres, log.topic.topic) != log.metered_to():
        assert time.monotonic() < deadline, "the warehouse does not follow"
        assert not any(worker.done() for worker in workers)
        await asyncio.sleep(0.05)


async def more(log: MeteredLog, count: int) -> None:
    """Count more events in every partition."""
    for partition in range(PARTITIONS):
        log.produce(count, partition=partition, repeats=3, malformed=1)
        await log.meter(partition=partition, block=300)


async def test_workers_come_and_go_and_every_event_is_stored_once(log: MeteredLog) -> None:
    await more(log, 1_000)
    async with a_worker(log, "one") as one:
        await caught_up(log, one)
        log.assert_equal()
        async with a_worker(log, "two") as two:
            await more(log, 500)
            await caught_up(log, one, two)
        await more(log, 500)
        await caught_up(log, one)
    log.assert_equal()
    assert log.counted() == PARTITIONS * 2_000


async def test_a_warehouse_that_knows_more_than_postgres_is_refused(log: MeteredLog) -> None:
    await more(log, 10)
    async with a_worker(log, "one") as one:
        await caught_up(log, one)
    log.postgres.execute("delete from warehouse_loads where partition = 2")
    with pytest.raises(RefusedToStart, match=r"partition 2 up to offset.*meterstream rebuild clickhouse"):
        await run_warehouse(log.settings, asyncio.Event())


async def test_a_clickhouse_without_our_schema_is_refused(log: MeteredLog) -> None:
    command(log.clickhouse, "drop table schema_migrations sync")
    with pytest.raises(RefusedToStart, match="meterstream migrate"):
        await run_warehouse(log.settings, asyncio.Event())
