"""Produces usage events for the API: many requests share a batch, and each is answered when its own records are stored.

Every partition has a lane: records wait there while the lane's batch is in flight, and go out together when it is
confirmed. That is what makes it fast without a timer: one record goes at once, a crowd goes as one batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import RateLimited, RefusedToStart, Unavailable
from runtime.logging import get_logger
from runtime.settings import KafkaSettings
from runtime.tasks import end_tasks
from sinks.kafka.connection import client_options

log = get_logger(__name__)

# Below the usual `max.message.bytes` of 1,048,588, which counts a batch as one message.
_BATCH_BYTES = 1_000_000
MAX_RECORD_BYTES: Final = 900_000
"""Of a key with its value: it fits into a batch whatever that adds. A larger one would never leave its lane."""
# What a record costs beside its key and value; only the bound on memory depends on it.
_RECORD_OVERHEAD_BYTES = 120
_RECONNECT_S = 0.5
# How long a request in flight may still be answered when a producer is closed.
_CLOSE_PATIENCE_S = 1.0
# A batch that is still unconfirmed after so many time-outs gets a new client: the old one may know no living broker.
_STUCK_TIMEOUTS = 6


class OutgoingRecord(NamedTuple):
    """One record for a given partition."""

    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class _Delivery:
    """One caller's records on their way: done when all are confirmed, failed when one is not."""

    __slots__ = ("done", "given_up", "remaining")

    def __init__(self, records: int) -> None:
        self.remaining = records
        self.given_up = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirm(self, records: int) -> None:
        self.remaining -= records
        if self.remaining == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Unavailable) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class _Lane:
    """Records of one partition that are not sent yet."""

    waiting: deque[tuple[OutgoingRecord, _Delivery, int]] = field(default_factory=deque)
    """Record, caller, and what the record counts towards the buffer's limit."""
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def drop_given_up(self) -> int:
        """Forget the oldest records whose callers are gone (they leave in order) and return their bytes."""
        dropped = 0
        while self.waiting and self.waiting[0][1].given_up:
            dropped += self.waiting.popleft()[2]
        return dropped


@dataclass(slots=True)
class _Batch:
    """What is in flight on one lane."""

    builder: Any
    records: dict[_Delivery, int] = field(default_factory=dict)
    buffered_bytes: int = 0


class EventProducer:
    """A producer with acks=all and idempotence that answers in bounded time and mends itself.

    What was not confirmed may still be stored (a broker that froze and came back): repeating it is safe, since equal
    events count once.
    """

    def __init__(self, settings: KafkaSettings, *, topic: str, timeout_s: float, buffer_bytes: int) -> None:
        self._settings = settings
        self._topic = topic
        self._timeout_s = timeout_s
        self._buffer_bytes = buffer_bytes
        self._buffered = 0
        self._lanes: list[_Lane] = []
        self._supervisor: asyncio.Task[None] | None = None
        self._problem: str | None = "not connected yet"

    async def start(self) -> None:
        """Begin to connect, and wait for it a little; a broker that is down is tried again for ever."""
        self._lanes = [_Lane() for _ in range(self._settings.partitions)]
        connected = asyncio.Event()
        self._supervisor = asyncio.create_task(self._supervise(connected), name="event-producer")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await connected.wait()

    async def stop(self) -> None:
        """Close the connection; records still unconfirmed are refused to their callers."""
        if self._supervisor is not None:
            await end_tasks(self._supervisor)
            self._supervisor = None
        for lane in self._lanes:
            for _, delivery, _ in lane.waiting:
                delivery.fail(Unavailable("The service is stopping; send the request again."))

    @property
    def problem(self) -> str | None:
        """Say why nothing can be produced now, or None."""
        return self._problem

    async def send_all(self, records: Sequence[OutgoingRecord]) -> None:
        """Return once every record is stored by all in-sync replicas.

        Raises: RateLimited when the buffer is full; Unavailable when not all were confirmed in time.
        """
        if not records:
            return
        sizes = [len(record.value) + len(record.key or b"") + _RECORD_OVERHEAD_BYTES for record in records]
        size = sum(sizes)
        if self._buffered and self._buffered + size > self._buffer_bytes:
            if self._problem is not None:
                raise Unavailable(f"Kafka does not answer: {self._problem}.")
            raise RateLimited("The producer's buffer is full; send the request again later.", retry_after_s=1)
        delivery = _Delivery(len(records))
        self._buffered += size
        for record, record_size in zip(records, sizes, strict=True):
            lane = self._lanes[record.partition]
            lane.waiting.append((record, delivery, record_size))
            lane.filled.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                await delivery.done
        except TimeoutError as exc:
            reason = self._problem or f"no confirmation within {self._timeout_s:g} s"
            raise Unavailable(f"Kafka did not confirm all events: {reason}. Sending them again is safe.") from exc
        finally:
            # Also when the caller was cancelled: nobody waits any more, so what is unsent need not be sent.
            delivery.given_up = True
            self._buffered -= sum(lane.drop_given_up() for lane in self._lanes)

    async def _supervise(self, connected: asyncio.Event) -> None:
        while True:
            try:
                producer = await self._connect()
            except (KafkaError, OSError, TimeoutError, RefusedToStart) as exc:
                self._problem = str(exc) or type(exc).__name__
                log.warning("Kafka is not reachable; trying again", reason=self._problem)
                await asyncio.sleep(_RECONNECT_S)
                continue
            self._problem = None
            connected.set()
            try:
                async with asyncio.TaskGroup() as group:
                    for partition in range(len(self._lanes)):
                        group.create_task(self._run_lane(producer, partition))
            except* Exception as failures:
                # After a failed batch the broker refuses this producer's later sequence numbers: begin anew.
                self._problem = repr(failures.exceptions[0])
                log.exception("A batch was not confirmed; connecting anew", reason=self._problem)
                await asyncio.sleep(_RECONNECT_S)
            finally:
                await _close(producer)

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=round(self._timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await producer.start()
                self._check_partitions(len(await producer.partitions_for(self._topic)))
        except BaseException:
            await _close(producer)
            raise
        return producer

    def _check_partitions(self, found: int) -> None:
        if found != self._settings.partitions:
            raise RefusedToStart(
                f"Topic {self._topic} has {found} partitions, METERSTREAM_KAFKA__PARTITIONS says "
                f"{self._settings.partitions}; the count is fixed for the life of a topic."
            )

    async def _run_lane(self, producer: AIOKafkaProducer, partition: int) -> None:
        lane = self._lanes[partition]
        while True:
            await lane.filled.wait()
            batch = self._fill(lane, producer.create_batch())
            if not batch.records:
                lane.filled.clear()
                continue
            try:
                future = await producer.send_batch(batch.builder, self._topic, partition=partition)
                future.add_done_callback(_retrieve)
                async with asyncio.timeout(self._timeout_s * _STUCK_TIMEOUTS):
                    await asyncio.shield(future)
            except BaseException as exc:
                reason = "the connection was given up" if isinstance(exc, asyncio.CancelledError) else repr(exc)
                error = Unavailable(f"Kafka did not confirm all events: {reason}. Sending them again is safe.")
                for delivery in batch.records:
                    delivery.fail(error)
                raise
            finally:
                self._buffered -= batch.buffered_bytes
            for delivery, records in batch.records.items():
                delivery.confirm(records)

    def _fill(self, lane: _Lane, builder: Any) -> _Batch:
        batch = _Batch(builder)
        now_ms = time.time_ns() // 1_000_000
        while True:
            self._buffered -= lane.drop_given_up()
            if not lane.waiting:
                break
            record, delivery, size = lane.waiting[0]
            if builder.append(timestamp=now_ms, key=record.key, value=record.value, headers=record.headers) is None:
                break
            lane.waiting.popleft()
            batch.records[delivery] = batch.records.get(delivery, 0) + 1
            batch.buffered_bytes += size
        builder.close()
        return batch


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at the outcome, so that asyncio does not report one that nobody awaits any more."""
    if not future.cancelled():
        future.exception()


async def _close(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for what it cannot deliver.

    `AIOKafkaProducer.stop` flushes first, for ever if the broker is gone, and its sending task never gives up: both are
    ended here from inside (aiokafka is pinned; a test freezes the broker and looks for tasks that stayed).
    """
    sender_task = producer._sender.sender_task
    producer._message_accumulator.fail_all(KafkaError("closed"))
    while sender_task is not None and not sender_task.done():
        # Cancelled once it waits for its request to be answered; cancelled again it lets go of that too.
        sender_task.cancel()
        await asyncio.wait([sender_task], timeout=_CLOSE_PATIENCE_S)
    await producer.client.close()
    await producer.stop()
