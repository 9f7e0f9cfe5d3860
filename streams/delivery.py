"""How work on fetched batches is delivered: in order within a partition, acked when done, repeated, or stopped.

Poison never gets here (it is a dead letter); a transient error is repeated with bounded back-off, then stops the
worker; anything else is a bug and stops it at once. Nothing is logged and passed over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from metering.records import RecordBatch
from runtime.errors import Unavailable
from runtime.logging import get_logger
from runtime.settings import WorkerSettings
from runtime.tasks import end_tasks
from runtime.telemetry import Telemetry

log = get_logger(__name__)


class Delivery(Protocol):
    """What Faust hands to an agent: a batch, and the way to say that it is done."""

    @property
    def value(self) -> RecordBatch:
        """The batch."""

    def ack(self) -> object:
        """Say that it is done."""


Work = Callable[[RecordBatch], Awaitable[None]]
T = TypeVar("T")
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
# A client that is just connecting can swallow it, and has nothing to clean up.
_CANCEL_AGAIN_S = 0.5
# What waits behind the block in hand, per partition, and becomes its next block: so many batches, fewer once they have
# so many records, because what waits in all partitions is most of a worker's memory.
_WAITING_BATCHES = 2
_WAITING_RECORDS = 10_000


async def repeat_transient(work: Callable[[], Awaitable[T]], *, give_up_s: float, telemetry: Telemetry) -> T:
    """Do `work`; while a store does not answer, again after 0.05, 0.1, … 5 s, for `give_up_s` at most.

    Raises: Unavailable after that, and every other error at once.
    """
    began = time.monotonic()
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except Unavailable as exc:
            waited_s = time.monotonic() - began
            if waited_s > give_up_s:
                raise Unavailable(f"Gave up after {waited_s:.0f} s: {exc.message}") from exc
            telemetry.block_redone.labels(cause=type(exc).__name__).inc()
            log.warning("a store does not answer; trying again", reason=exc.message, pause_s=pause_s)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads workers, hides nothing
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def begin_work(
    work: Callable[[], Awaitable[T]], settings: WorkerSettings, telemetry: Telemetry, stop: asyncio.Event
) -> T | None:
    """Do what a worker begins with: again while a store is away; None once `stop` is set.

    Raises: Unavailable after `worker.retry_max_s`, and what else `work` raises.
    """
    beginning = asyncio.ensure_future(repeat_transient(work, give_up_s=settings.retry_max_s, telemetry=telemetry))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({beginning, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if beginning.done():
        return await beginning
    await end_tasks(beginning, again_s=_CANCEL_AGAIN_S)
    return None


class Lane:
    """The batches of one partition: waiting ones are joined into one block while another is in hand."""

    def __init__(self, work: Work, *, max_records: int) -> None:
        self._work = work
        self._max_records = max_records
        self._waiting: deque[Delivery] = deque()
        self._changed = asyncio.Condition()
        self._busy = False
        self._drops = 0

    async def put(self, event: Delivery) -> None:
        """Add a batch; waits while enough are waiting. A batch that waits when others are dropped is dropped too."""
        async with self._changed:
            drops = self._drops
            await self._changed.wait_for(lambda: self._has_room or self._drops != drops)
            if self._drops == drops:
                self._waiting.append(event)
                self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        waiting = sum(len(event.value) for event in self._waiting)
        return len(self._waiting) < _WAITING_BATCHES and waiting < _WAITING_RECORDS

    async def drop_waiting(self) -> None:
        """Forget what is not in hand: after a rebalance it is read again, here or elsewhere."""
        async with self._changed:
            self._waiting.clear()
            self._drops += 1
            self._changed.notify_all()

    async def wait_idle(self) -> None:
        """Return once no block is in hand."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._busy)

    async def run(self) -> None:
        """Work until cancelled or until the work fails."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                events = self._take()
                self._busy = True
                self._changed.notify_all()
            try:
                await self._work(RecordBatch.join([event.value for event in events]))
                for event in events:
                    event.ack()
            finally:
                self._busy = False
                async with self._changed:
                    self._changed.notify_all()

    def _take(self) -> list[Delivery]:
        """Take the first batch and those that continue it: contiguous, of its arrival hour, within the size."""
        events = [self._waiting.popleft()]
        records = len(events[0].value)
        hour = events[0].value.arrival_hour
        while self._waiting:
            last, following = events[-1].value, self._waiting[0].value
            records += len(following)
            other_hour = None not in (hour, following.arrival_hour) and hour != following.arrival_hour
            if records > self._max_records or other_hour or last.to_position != following.from_position:
                break
            hour = following.arrival_hour if hour is None else hour
            events.append(self._waiting.popleft())
        return events


class Lanes:
    """One lane per partition, each run by a task; a failed lane is told to `on_failure`, which stops the worker."""

    def __init__(
        self, make_work: Callable[[int], Work], *, max_records: int, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._make_work = make_work
        self._max_records = max_records
        self._on_failure = on_failure
        self._lanes: dict[int, tuple[Lane, asyncio.Task[None]]] = {}

    async def put(self, event: Delivery) -> None:
        """Hand a batch to its partition's lane."""
        partition = event.value.partition
        if partition not in self._lanes:
            lane = Lane(self._make_work(partition), max_records=self._max_records)
            task = asyncio.create_task(lane.run(), name=f"lane-{partition}")
            task.add_done_callback(self._ended)
            self._lanes[partition] = (lane, task)
        await self._lanes[partition][0].put(event)

    async def pause(self, *, timeout_s: float) -> None:
        """Forget what waits, and let the blocks in hand finish for a while; Postgres' position fences the rest."""
        lanes = [lane for lane, _ in self._lanes.values()]
        for lane in lanes:
            await lane.drop_waiting()
        if lanes:
            await asyncio.wait([asyncio.create_task(lane.wait_idle()) for lane in lanes], timeout=timeout_s)

    async def keep_only(self, partitions: set[int]) -> set[int]:
        """End the lanes of other partitions, blocks in hand included, and return which."""
        gone = self._lanes.keys() - partitions
        for partition in gone:
            lane, task = self._lanes.pop(partition)
            await lane.drop_waiting()
            await lane.wait_idle()
            await end_tasks(task)
        return set(gone)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._on_failure(failure)
