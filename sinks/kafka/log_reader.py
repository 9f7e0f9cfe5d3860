"""Reads a stretch of the log again, outside any consumer group: index catch-up, warehouse loads, rebuild, recounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from metering.records import RecordBatch
from runtime.errors import RefusedToStart, Unavailable
from runtime.settings import KafkaSettings
from sinks.kafka.checksums import check_fetches
from sinks.kafka.columns import wait_and_drain
from sinks.kafka.connection import client_options

# The broker's answer to a partition at most; bounds memory and is ~13,000 events of 319 bytes.
_FETCH_BYTES = 4_000_000
# Of single bodies: what surrounds one is mostly read in vain. A batch of records is sent whole, however large.
_BODY_FETCH_BYTES = 100_000
# Bodies that are this close are read in one go instead of sought one by one: an answer holds about as many.
_BODIES_APART = 500


class LogReader:
    """One topic's records by position. Use as `async with`; one stretch at a time, and bodies beside it.

    Raises (everywhere): Unavailable when Kafka does not answer within `timeout_s`.
    """

    def __init__(self, settings: KafkaSettings, topic: str, *, timeout_s: float = 30.0) -> None:
        self.topic = topic
        self._timeout_s = timeout_s
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()
        # A consumer of their own: whoever goes through a stretch asks for bodies meanwhile.
        self._body_consumer: AIOKafkaConsumer | None = None
        self._body_turn = asyncio.Lock()

    async def __aenter__(self) -> LogReader:
        self._consumer = await self._connect(_FETCH_BYTES, max_wait_ms=100)
        return self

    async def _connect(self, fetch_bytes: int, *, max_wait_ms: int) -> AIOKafkaConsumer:
        consumer = check_fetches(
            AIOKafkaConsumer(
                **client_options(self._settings),
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_partition_fetch_bytes=fetch_bytes,
                fetch_max_wait_ms=max_wait_ms,
                check_crcs=False,
            )
        )
        try:
            await consumer.start()
            await asyncio.sleep(0)  # a task of its own that never began would make `stop` raise CancelledError
        except KafkaError as exc:
            await consumer.stop()
            raise Unavailable(f"Kafka does not answer at {self._settings.bootstrap_servers}: {exc}") from exc
        return consumer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for consumer in (self._consumer, self._body_consumer):
            if consumer is not None:
                await consumer.stop()

    async def read(
        self, partition: int, from_position: int, to_position: int, *, max_records: int = 50_000
    ) -> AsyncIterator[RecordBatch]:
        """Yield the records of [from_position, to_position), a batch an arrival hour and fetch, without a gap.

        Raises: RefusedToStart when the log no longer reaches back to `from_position`.
        """
        async with self._turn:
            tp = TopicPartition(self.topic, partition)
            consumer = self._started()
            consumer.assign([tp])
            consumer.seek(tp, from_position)
            position = from_position
            while position < to_position:
                for batch in await self._fetch(consumer, tp, position, max_records):
                    piece = batch.slice(position, to_position)
                    yield piece
                    position = piece.to_position
                    if position >= to_position:
                        break

    async def read_all(self, partition: int, from_position: int, to_position: int) -> RecordBatch:
        """Return [from_position, to_position) as one batch, across arrival hours. For stretches known to be bounded."""
        return RecordBatch.join([batch async for batch in self.read(partition, from_position, to_position)])

    async def bodies(self, partition: int, offsets: Sequence[int]) -> dict[int, bytes]:
        """Return the raw values at these offsets; may be called while a stretch is read."""
        tp, wanted = TopicPartition(self.topic, partition), sorted(set(offsets))
        found: dict[int, bytes] = {}
        async with self._body_turn:
            if self._body_consumer is None:
                self._body_consumer = await self._connect(_BODY_FETCH_BYTES, max_wait_ms=10)
            consumer = self._body_consumer
            consumer.assign([tp])
            try:
                position = -_BODIES_APART
                for offset in wanted:
                    if offset - position >= _BODIES_APART:
                        consumer.seek(tp, position := offset)
                    while position <= offset:
                        for batch in await self._fetch(consumer, tp, position, _BODIES_APART):
                            found.update(_bodies(batch))
                            position = batch.to_position
            finally:
                consumer.pause(tp)  # or it would ask for more for ever
        return {offset: found[offset] for offset in wanted if offset in found}

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return the first position that is kept and the end of each partition."""
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        try:
            first = await self._started().beginning_offsets(tps)
            last = await self._started().end_offsets(tps)
        except KafkaError as exc:
            raise Unavailable(f"Kafka does not tell the bounds of {self.topic}: {exc}") from exc
        return {tp.partition: (first[tp], last[tp]) for tp in tps}

    async def position_at(self, partition: int, arrival_ms: int) -> int | None:
        """Return the first position whose record arrived at or after `arrival_ms`; None when none did."""
        tp = TopicPartition(self.topic, partition)
        try:
            found = (await self._started().offsets_for_times({tp: arrival_ms}))[tp]
        except KafkaError as exc:
            raise Unavailable(f"Kafka does not tell offsets by time of {self.topic}: {exc}") from exc
        return None if found is None else int(found.offset)

    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("LogReader is used outside its `async with`")
        return self._consumer

    async def _fetch(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, position: int, max_records: int
    ) -> list[RecordBatch]:
        try:
            batches = await wait_and_drain(consumer._fetcher, {tp}, max_records, self._timeout_s)
        except OffsetOutOfRangeError as exc:
            raise RefusedToStart(
                f"The log of {tp.topic}, partition {tp.partition}, no longer reaches back to position {position}."
            ) from exc
        except KafkaError as exc:
            raise Unavailable(f"Kafka does not answer while reading {tp.topic}: {exc}") from exc
        if not batches:
            raise Unavailable(f"Kafka gave nothing of {tp.topic}-{tp.partition} at {position} in {self._timeout_s} s.")
        return batches


def _bodies(batch: RecordBatch) -> dict[int, bytes]:
    pairs = zip(batch.offsets.tolist(), batch.values, strict=True)
    return {offset: value for offset, value in pairs if value is not None}
