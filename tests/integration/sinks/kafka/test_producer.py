"""The API's producer on a real broker: bounded, complete, and mending itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from metering.topics import USAGE_EVENTS
from runtime.errors import RateLimited, Unavailable
from runtime.settings import KafkaSettings
from sinks.kafka.connection import client_options
from sinks.kafka.producer import EventProducer, OutgoingRecord
from sinks.kafka.topics import admin_client, create_topics, topic_name

HEADERS = [("organization", b"acme")]


@pytest.fixture
def kafka(kafka_bootstrap: str, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, partitions=4)


@pytest.fixture
async def topic(kafka: KafkaSettings) -> str:
    await create_topics(kafka)
    return topic_name(kafka, USAGE_EVENTS)


@pytest.fixture
async def producer(kafka: KafkaSettings, topic: str) -> AsyncIterator[EventProducer]:
    made = EventProducer(kafka, topic=topic, timeout_s=5, buffer_bytes=200_000)
    await made.start()
    yield made
    await made.stop()


def records(count: int, *, size: int = 20, first: int = 0) -> list[OutgoingRecord]:
    return [
        OutgoingRecord(number % 4, b"key-%d" % number, b"%d " % number + b"x" * size, HEADERS)
        for number in range(first, first + count)
    ]


async def stored(kafka: KafkaSettings, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        found: list[bytes] = []
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += [record.value for record in batch]
        return found
    finally:
        await consumer.stop()


async def test_callers_share_batches_and_everything_is_stored_once(
    kafka: KafkaSettings, topic: str, producer: EventProducer
) -> None:
    await asyncio.gather(*(producer.send_all(records(50, first=caller * 50)) for caller in range(20)))
    found = sorted(int(value.split()[0]) for value in await stored(kafka, topic))
    assert found == list(range(1000))
    await producer.send_all([])


async def test_a_full_buffer_is_told_at_once(producer: EventProducer) -> None:
    large = records(150, size=1_000)
    first = asyncio.create_task(producer.send_all(large))
    await asyncio.sleep(0)
    with pytest.raises(RateLimited) as refused:
        await producer.send_all(large)
    assert refused.value.details["retry_after_s"] == 1
    await first
    # The buffer is free again, and what alone is larger than it still goes.
    await producer.send_all(records(500, size=1_000))


async def test_a_refused_batch_fails_its_callers_only_and_the_producer_goes_on(
    kafka: KafkaSettings, topic: str, producer: EventProducer
) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": "50000"})
    async with admin_client(kafka) as admin:
        await admin.alter_configs([resource])
    await asyncio.sleep(0.5)
    with pytest.raises(Unavailable, match="again is safe"):
        await producer.send_all(records(1, size=60_000))
    # The lane of the refused record too: a producer with a gap in its sequence would be refused for ever.
    for _ in range(3):
        await producer.send_all(records(8))
    assert len(await stored(kafka, topic)) == 24


async def test_without_a_broker_it_answers_in_time_and_says_why(topic_prefix: str) -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix=topic_prefix, partitions=4)
    producer = EventProducer(nowhere, topic="t", timeout_s=0.5, buffer_bytes=100_000)
    await producer.start()
    try:
        for _ in range(3):
            with pytest.raises(Unavailable, match="bootstrap"):
                await producer.send_all(records(50, size=1_000))
    finally:
        await producer.stop()


async def test_another_partition_count_is_refused(kafka: KafkaSettings, topic: str) -> None:
    wrong = kafka.model_copy(update={"partitions": 8})
    producer = EventProducer(wrong, topic=topic, timeout_s=1, buffer_bytes=100_000)
    await producer.start()
    try:
        with pytest.raises(Unavailable, match="has 4 partitions"):
            await producer.send_all(records(1))
    finally:
        await producer.stop()


async def test_stopping_refuses_what_is_under_way_and_leaves_no_task(kafka: KafkaSettings, topic: str) -> None:
    before = asyncio.all_tasks()
    producer = EventProducer(kafka, topic=topic, timeout_s=5, buffer_bytes=100_000_000)
    await producer.start()
    sending = asyncio.create_task(producer.send_all(records(20_000, size=500)))
    await asyncio.sleep(0)
    await producer.stop()
    (answer,) = await asyncio.gather(sending, return_exceptions=True)
    assert answer is None or isinstance(answer, Unavailable)
    assert asyncio.all_tasks() == before
