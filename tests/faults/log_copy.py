"""The log as a client of another make reads it: what every recount starts from."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from metering.records import FIRST_ARRIVAL_HEADER, ORGANIZATION_HEADER
from metering.recount import LogRecord
from runtime.settings import KafkaSettings


def read_log(settings: KafkaSettings, topic: str, *, timeout_s: float = 60.0) -> list[list[LogRecord]]:
    """Return every committed record by partition, oldest first."""
    consumer = _consumer(settings)
    records: list[list[LogRecord]] = [[] for _ in range(settings.partitions)]
    left = set(range(settings.partitions))
    deadline = time.monotonic() + timeout_s
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            assert time.monotonic() < deadline, f"the log of {topic} was not read within {timeout_s:.0f} s"
            for message in consumer.consume(10_000, timeout=1.0):
                error, partition = message.error(), message.partition()
                assert partition is not None
                if error is None:
                    records[partition].append(_record(message))
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(partition)
    finally:
        consumer.close()
    return records


def log_ends(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Return the end of every partition: the position that a consumer of committed records reaches."""
    consumer = _consumer(settings)
    try:
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
            for partition in range(settings.partitions)
        }
    finally:
        consumer.close()


def _consumer(settings: KafkaSettings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "recount",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )


def _record(message: object) -> LogRecord:
    headers = dict(message.headers() or [])  # type: ignore[attr-defined]  # of several of one name the last one counts
    return LogRecord(
        offset=message.offset(),  # type: ignore[attr-defined]
        arrival_ms=message.timestamp()[1],  # type: ignore[attr-defined]
        raw=message.value(),  # type: ignore[attr-defined]
        organization=headers.get(ORGANIZATION_HEADER),
        first_arrival=headers.get(FIRST_ARRIVAL_HEADER),
    )
