"""The micro-batch transport: Faust hands an agent one message per fetched batch, not one per record.

Stock Faust makes four asyncio tasks for every record (11,500/s here). This keeps Faust's agents, group membership and
life cycle, and replaces what lies between broker and agent: a message's value is a `RecordBatch`; reading starts where
Postgres says, not where Kafka's group offsets say (those are committed all the same, for tools that show lag).
It overrides Faust's and aiokafka's internals, so both are pinned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from runtime.settings import KafkaSettings, WorkerSettings
from runtime.telemetry import Telemetry
from sinks.kafka.checksums import check_fetches
from sinks.kafka.columns import wait_and_drain
from sinks.kafka.connection import client_options

Starts = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""Given the assigned partitions, where reading of each has to start."""


class BatchThread(driver.AIOKafkaConsumerThread):
    """Fetches in a thread of its own, so that decoding never delays a heartbeat."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        kafka, worker = transport.kafka, transport.worker
        # The assignor keeps its state on the class; a class a consumer keeps two apps of one process apart.
        assignor = type("StickyAssignor", (StickyPartitionAssignor,), {})
        consumer = AIOKafkaConsumer(
            **client_options(kafka),
            client_id=f"meterstream-{worker.name or 'worker'}",
            group_id=self.app.conf.id,
            group_instance_id=self.app.conf.consumer_group_instance_id,
            partition_assignment_strategy=[assignor],
            enable_auto_commit=False,
            # A broker that has just come back may not know the topic yet: then the group's leader gives everybody
            # nothing, until it looks again.
            metadata_max_age_ms=5_000,
            # A position that the log no longer has is an error to be told, never a silent jump.
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            rebalance_timeout_ms=round(kafka.rebalance_timeout_s * 1000),
            # Together they pace blocks: the broker answers when a good block is there, or after the wait.
            fetch_min_bytes=worker.fetch_min_bytes,
            fetch_max_wait_ms=round(worker.block_wait_s * 1000),
            max_partition_fetch_bytes=worker.fetch_partition_bytes,
            fetch_max_bytes=worker.fetch_max_bytes,
            check_crcs=False,
        )
        return check_fetches(consumer)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, list[Any]]:
        del max_records  # ours is a batch's
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        partitions = {TopicPartition(tp.topic, tp.partition) for tp in active_partitions}
        limit = cast(BatchTransport, self.transport).worker.block_max_records
        with fetcher._subscriptions.fetch_context():
            batches = await wait_and_drain(fetcher, partitions, limit, timeout or 0.0)
        fetched: dict[TP, list[Any]] = {}
        for batch in batches:
            cast(BatchTransport, self.transport).telemetry.records_fetched.inc(len(batch))
            fetched.setdefault(TP(batch.topic, batch.partition), []).append(batch)
        return fetched

    async def seek_all(self, starts: Mapping[TP, int]) -> None:
        """Seek, in the thread that owns the consumer."""
        await self.call_thread(self._seek_all, starts)

    async def _seek_all(self, starts: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, position in starts.items():
            consumer.seek(TopicPartition(tp.topic, tp.partition), position)


class BatchConsumer(driver.Consumer):
    """Yields one message a batch; its offset is that of the batch's last position."""

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, record.to_position - 1, 0.0, 1, [], None, record, None, None, None, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: a batch covers every position between its bounds."""

    def _new_offset(self, tp: TP) -> int | None:
        """Return the position after the newest acked batch: a partition's batches are acked in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return newest + 1

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where Postgres says; Faust takes what is returned as the committed offsets."""
        starts = await cast(BatchTransport, self.transport).starts(self.assignment())
        await cast(BatchThread, self._thread).seek_all(starts)
        return starts


class BatchTransport(driver.Transport):
    """Set as `app.transport`."""

    Consumer = BatchConsumer

    def __init__(
        self, app: faust.App, *, kafka: KafkaSettings, worker: WorkerSettings, starts: Starts, telemetry: Telemetry
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.kafka = kafka
        self.worker = worker
        self.starts = starts
        self.telemetry = telemetry


class BatchSchema(faust.Schema[Any, Any]):
    """Hands the batch to the agent as it is."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> None:
        """Return nothing: a batch has no key."""

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """Return the batch."""
        return message.value
