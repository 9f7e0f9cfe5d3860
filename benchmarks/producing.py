"""Puts a load into a topic with librdkafka, as fast as it goes or at a pace, and looks that all of it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from confluent_kafka import Producer

from benchmarks.figures import WrongNumbers
from benchmarks.load import Record
from metering.topics import USAGE_EVENTS
from runtime.settings import KafkaSettings
from sinks.kafka.log_ends import LogEnds
from sinks.kafka.topics import topic_name

_POLL_EVERY = 2_000
_FLUSH_S = 120.0


class Feed:
    """A producer for one topic: acks=all, idempotent, so that a partition keeps the order of its records."""

    def __init__(self, settings: KafkaSettings, topic: str | None = None, *, linger_ms: int = 50) -> None:
        self._topic = topic or topic_name(settings, USAGE_EVENTS)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 500_000,
                "log_level": 0,
            }
        )
        self._sent = 0

    def send(self, record: Record) -> None:
        """Hand a record over; waits while the buffer is full."""
        while True:
            try:
                self._producer.produce(self._topic, record.body, key=record.key, partition=record.partition)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self._producer.poll(0)

    def flush(self) -> None:
        """Return once everything is stored. Raises: WrongNumbers when Kafka does not confirm it in time."""
        left = self._producer.flush(_FLUSH_S)
        if left:
            raise WrongNumbers(f"Kafka did not confirm {left} records in {_FLUSH_S:.0f} s.")

    def send_all(self, records: Iterable[Record]) -> None:
        """Send everything as fast as it goes."""
        for record in records:
            self.send(record)
        self.flush()

    def send_paced(self, records: Iterable[Record], *, a_second: int, tick: Callable[[], None] = lambda: None) -> None:
        """Send at an even pace, in steps of 10 ms; `tick` is called at each."""
        step = max(1, a_second // 100)
        began = time.perf_counter()
        for number, record in enumerate(records):
            if number % step == 0:
                tick()
                self._producer.poll(0)
                time.sleep(max(0.0, number / a_second - (time.perf_counter() - began)))
            self.send(record)
        self.flush()


def count_records(settings: KafkaSettings) -> int:
    """Return how many records the log of usage events has, when nothing was produced in transactions."""
    return asyncio.run(_count(settings))


async def _count(settings: KafkaSettings) -> int:
    ends = LogEnds(settings, topic_name(settings, USAGE_EVENTS), timeout_s=10)
    try:
        return sum(await ends.read())
    finally:
        await ends.close()
