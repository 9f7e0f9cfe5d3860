"""The log as it is read again: every committed record once, holes passed over, bounds told."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from confluent_kafka import Producer

from runtime.errors import RefusedToStart
from runtime.settings import Settings
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topics import create_topics, topic_name

pytestmark = pytest.mark.integration


@pytest.fixture
async def topic(settings: Settings) -> str:
    await create_topics(settings.kafka)
    return topic_name(settings.kafka, "usage.events.v1")


def _produce(settings: Settings, topic: str, values: list[bytes], **options: object) -> None:
    # Idempotent: otherwise a retried batch may land behind its successor.
    address = settings.kafka.bootstrap_servers
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, **options})
    for value in values:
        producer.produce(topic, value, key=b"k", partition=1, headers={"organization": b"acme", "other": b"x"})
    producer.flush()


async def test_records_come_in_order_with_headers_and_arrival(settings: Settings, topic: str) -> None:
    values = [b"%d" % number for number in range(20_000)]
    _produce(settings, topic, values)
    async with LogReader(settings.kafka, topic) as reader:
        assert (await reader.bounds([0, 1])) == {0: (0, 0), 1: (0, 20_000)}
        batches = [batch async for batch in reader.read(1, 0, 20_000, max_records=3_000)]
        assert [batch.from_position for batch in batches[1:]] == [batch.to_position for batch in batches[:-1]]
        assert list(itertools.chain.from_iterable(batch.values for batch in batches)) == values
        assert {name for batch in batches for name in batch.organizations} == {b"acme"}
        assert all((batch.arrivals_ms > 1_700_000_000_000).all() for batch in batches)
        part = await reader.read_all(1, 17, 1_234)
        assert (part.from_position, part.to_position, part.values) == (17, 1_234, values[17:1_234])
        assert await reader.bodies(1, [19_999, 3, 3]) == {3: b"3", 19_999: b"19999"}
        assert await reader.position_at(1, 0) == 0
        assert await reader.position_at(1, int(batches[-1].arrivals_ms[-1]) + 1) is None


async def test_aborted_transactions_leave_holes_and_nothing_else(settings: Settings, topic: str) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions()
    for attempt in range(6):
        producer.begin_transaction()
        for number in range(10):
            producer.produce(topic, b"%d-%d" % (attempt, number), partition=1)
        producer.flush()
        (producer.abort_transaction if attempt % 2 else producer.commit_transaction)()
    async with LogReader(settings.kafka, topic) as reader:
        _, end = (await reader.bounds([1]))[1]
        assert end == 66  # 60 records, 6 markers
        batch = await reader.read_all(1, 0, end)
    assert batch.values == [b"%d-%d" % (attempt, number) for attempt in (0, 2, 4) for number in range(10)]
    assert (batch.from_position, batch.to_position) == (0, end)


async def test_a_log_that_lost_its_beginning_is_told(settings: Settings, topic: str) -> None:
    _produce(settings, topic, [b"1"])
    async with LogReader(settings.kafka, topic) as reader:
        with pytest.raises(RefusedToStart, match="no longer reaches back to position 500"):
            await reader.read_all(1, 500, 600)


async def test_a_reader_that_reads_nothing_ends_in_peace(settings: Settings, topic: str) -> None:
    async with LogReader(settings.kafka, topic):
        pass


async def test_bodies_are_found_wherever_they_are_while_a_stretch_is_read(settings: Settings, topic: str) -> None:
    values = [b"%d" % number for number in range(30_000)]
    _produce(settings, topic, values)
    wanted = [0, 1, 2, 499, 500, 1_000, 1_001, 9_000, 20_000, 20_499, 20_500, 29_998, 29_999]
    async with LogReader(settings.kafka, topic) as reader, asyncio.timeout(30):
        reached = 0
        async for batch in reader.read(1, 0, 30_000, max_records=5_000):
            assert await reader.bodies(1, wanted) == {offset: values[offset] for offset in wanted}
            reached = batch.to_position
        assert reached == 30_000
