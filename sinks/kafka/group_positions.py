"""Where a consumer group stands by Kafka's own account, for work that may be read twice."""

from __future__ import annotations

from runtime.settings import KafkaSettings
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topics import admin_client


async def group_positions(settings: KafkaSettings, *, group: str, topic: str) -> dict[int, int]:
    """Return where to read on, by partition: the beginning where the group never was, or where the log was made anew.

    Raises: Unavailable.
    """
    async with admin_client(settings) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
    committed = {tp.partition: each.offset for tp, each in offsets.items() if tp.topic == topic and each.offset >= 0}
    async with LogReader(settings, topic) as reader:
        bounds = await reader.bounds(range(settings.partitions))
    return {
        partition: max(first, committed.get(partition, first)) if committed.get(partition, first) <= end else first
        for partition, (first, end) in bounds.items()
    }
