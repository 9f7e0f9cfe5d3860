"""Loads follow the journal exactly once, wherever a worker dies and however its batches come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from metering.records import RecordBatch
from runtime.errors import RefusedToStart, Unavailable, UnexpectedError
from sinks.clickhouse.ledger import compare, last_offsets, refuse_if_ahead
from sinks.clickhouse.loads import LoadWriter
from sinks.postgres.loads import Load, LoadJournal, intended_positions, warehouse_positions
from streams.partition_loader import PartitionLoader
from tests.integration.streams.metered_log import COUNT_METER, PARTITIONS, MeteredLog, days_to_last_month

pytestmark = pytest.mark.integration


async def load_all(loader: PartitionLoader) -> int:
    """Write loads until there is none; returns how many."""
    loads = 0
    while True:
        loader._starved_at = float("-inf")  # no batches come: read the log
        if not await loader.load_next():
            return loads
        loads += 1


def loads_of(log: MeteredLog) -> list[Load]:
    """Return all loads."""
    rows = log.postgres.execute(
        "select id, topic, partition, from_position, to_position, counted from warehouse_loads order by id"
    ).fetchall()
    return [Load(*row) for row in rows]


async def test_the_warehouse_ends_up_as_postgres(log: MeteredLog) -> None:
    log.produce(3_000, repeats=100, malformed=7)
    await log.meter(block=700)
    loader = log.loader(max_records=1_500)
    assert await load_all(loader) == 3
    log.assert_equal()
    assert log.counted() == 3_000
    assert loader.position == 3_107
    assert compare(log.clickhouse, loads_of(log)) == []
    assert warehouse_positions(log.postgres, log.topic.topic) == {0: 3_107}
    assert [load.to_position for load in loads_of(log)] == [1_400, 2_800, 3_107]


async def test_blocks_that_counted_nothing_are_passed_over(log: MeteredLog) -> None:
    log.produce(0, malformed=50)
    await log.meter(block=20)
    loader = log.loader(max_records=30)
    assert await load_all(loader) == 2
    log.produce(5)
    await log.meter()
    assert await load_all(loader) == 1
    log.assert_equal()


async def test_a_meter_created_meanwhile_reads_from_its_position_on(log: MeteredLog) -> None:
    log.produce(100)
    await log.meter(block=40)
    loader = log.loader()
    assert await load_all(loader) == 1
    log.produce(50)
    later = "22222222-2222-2222-2222-222222222203"
    log.add_meter(later, "later", "COUNT", None, [120] * PARTITIONS)
    await log.meter()
    assert await load_all(loader) == 1
    log.assert_equal()
    assert log.stored()[later][1] == 30
    assert log.stored()[COUNT_METER][1] == 150


def _dies(real: Callable[..., Any], *, at: int, after: bool) -> Callable[..., Any]:
    """Return `real`, which fails at its call number `at`, after having worked or before."""
    calls = 0

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            if after:
                real(*args, **kwargs)
            raise Unavailable("the worker died here")
        return real(*args, **kwargs)

    return stand_in


STEPS = [
    (LoadJournal, "next_load", 1),
    (LoadJournal, "contents", 1),
    (LoadWriter, "_send", 1),
    (LoadWriter, "_send", 2),
    (LoadWriter, "_send", 3),
    (LoadWriter, "_send", 4),
    (LoadJournal, "finish", 1),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name", "at"), STEPS)
async def test_a_worker_that_dies_at_any_step_is_followed_by_another(
    log: MeteredLog, owner: type, name: str, at: int, after: bool
) -> None:
    log.produce(300, days_back=days_to_last_month())  # two insertions per table
    log.produce(300)
    await log.meter(block=150)
    dying = log.loader()
    with patch.object(owner, name, _dies(getattr(owner, name), at=at, after=after)), pytest.raises(Unavailable):
        await load_all(dying)
    dying.close()
    # What comes meanwhile is not part of the open load.
    log.produce(100)
    await log.meter(block=150)
    assert await load_all(log.loader()) >= 1
    log.assert_equal()
    assert log.counted() == 700
    assert compare(log.clickhouse, loads_of(log)) == []


async def test_one_worker_at_a_time_writes_a_partition(log: MeteredLog) -> None:
    log.produce(10)
    await log.meter()
    first, second = log.loader(), log.loader()
    assert await first.load_next()
    log.produce(10)
    await log.meter()
    assert not await second.load_next()
    first.close()
    assert await load_all(second) == 1
    log.assert_equal()


async def test_a_load_left_open_for_too_long_is_not_repeated_blindly(log: MeteredLog) -> None:
    log.produce(100)
    await log.meter()
    dying = log.loader()
    writer = dying._tools.writer
    with patch.object(writer, "_send", _dies(writer._send, at=2, after=False)), pytest.raises(Unavailable):
        await dying.load_next()
    dying.close()
    log.postgres.execute(
        "insert into warehouse_loads (topic, partition, from_position, to_position, counted, state) "
        "select %s, 3, n, n + 1, 0, 'done' from generate_series(0, 999) n",
        (log.topic.topic,),
    )
    with pytest.raises(RefusedToStart, match="meterstream rebuild clickhouse"):
        await log.loader().load_next()


async def test_a_load_left_open_with_nothing_stored_is_written(log: MeteredLog) -> None:
    log.produce(100)
    await log.meter()
    dying = log.loader()
    writer = dying._tools.writer
    with patch.object(writer, "_send", _dies(writer._send, at=1, after=False)), pytest.raises(Unavailable):
        await dying.load_next()
    dying.close()
    log.postgres.execute(
        "insert into warehouse_loads (topic, partition, from_position, to_position, counted, state) "
        "select %s, 3, n, n + 1, 0, 'done' from generate_series(0, 999) n",
        (log.topic.topic,),
    )
    assert await load_all(log.loader()) == 1
    log.assert_equal()


async def test_a_log_that_differs_from_the_journal_stores_nothing(log: MeteredLog) -> None:
    log.produce(100)
    await log.meter()
    log.postgres.execute("update stream_blocks set records = records - 1, counted = counted - 1")
    with pytest.raises(UnexpectedError, match="the journal has 99 records, the log 100"):
        await log.loader().load_next()
    assert log.stored_events() == (0, 0)


async def test_a_restored_postgres_is_refused(log: MeteredLog) -> None:
    log.produce(100)
    await log.meter()
    await load_all(log.loader())
    topic = log.topic.topic
    refuse_if_ahead(last_offsets(log.clickhouse, topic), intended_positions(log.postgres, topic))
    log.postgres.execute("delete from warehouse_loads")
    with pytest.raises(RefusedToStart, match="partition 0 up to offset 99"):
        refuse_if_ahead(last_offsets(log.clickhouse, topic), intended_positions(log.postgres, topic))


class Fetched:
    """A batch as Faust delivers it."""

    def __init__(self, value: RecordBatch) -> None:
        self.value = value
        self.acked = False

    def ack(self) -> None:
        self.acked = True


async def test_fetched_batches_are_used_and_acked_once_stored(log: MeteredLog) -> None:
    log.produce(4_000, repeats=10)
    loader = PartitionLoader(log.tools(max_records=1_500, wait_s=0.2), 0, held_records=2_500)
    running = asyncio.create_task(loader.run())
    deliveries = []
    async for batch in log.reader.read(0, 0, 4_010, max_records=900):
        for start in range(batch.from_position, batch.to_position, 900):
            deliveries.append(Fetched(batch.slice(start, start + 900)))
            await loader.put(deliveries[-1])
    assert not any(delivery.acked for delivery in deliveries)
    await log.meter(block=700)
    while loader.position < 4_010:
        loader.wake()
        await asyncio.sleep(0.02)
        assert not running.done()
    loader.stop()
    await running
    assert all(delivery.acked for delivery in deliveries)
    log.assert_equal()
