"""Stores Stripe's events before they are answered: concurrent requests share an insert, and then a batch to Kafka."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from runtime.errors import MeterstreamError, RateLimited, Unavailable
from runtime.logging import get_logger
from runtime.tasks import end_tasks
from sinks.kafka.producer import EventProducer
from sinks.postgres import inbox
from sinks.postgres.access import Access, PostgresAccess
from sinks.postgres.inbox import InboxEvent
from sinks.stripe_events import outgoing_record

log = get_logger(__name__)
_BATCH: Final = 500
# Nobody waits for Kafka here, and a batch costs as much as 20 events: at 1,000/s one of them would go alone.
_GATHER_S: Final = 0.05
# Beyond it Stripe is asked to come back: it repeats for three days.
_MOST_WAITING: Final = 5_000
# Whose an event is, nobody knows yet: it is no tenant's.
_OPERATOR: Final = Access(operator=True)


class StripeInbox:
    """Two tasks: one stores what waits and answers, one produces what was stored.

    What Kafka does not take is left to the relay of the billing worker, which finds it in the inbox.
    """

    def __init__(self, postgres: PostgresAccess, producer: EventProducer, *, partitions: int) -> None:
        self._postgres = postgres
        self._producer = producer
        self._partitions = partitions
        self._waiting: deque[tuple[InboxEvent, asyncio.Future[None]]] = deque()
        self._stored: deque[InboxEvent] = deque(maxlen=_MOST_WAITING)
        self._has_waiting = asyncio.Event()
        self._has_stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; Kafka is connected in the background if it does not answer at once."""
        self._tasks = [
            asyncio.create_task(self._store_for_ever(), name="stripe-inbox"),
            asyncio.create_task(self._produce_for_ever(), name="stripe-inbox-producing"),
        ]

    async def stop(self) -> None:
        """End; who still waits is told to come back."""
        await end_tasks(*self._tasks)
        for _, stored in self._waiting:
            if not stored.done():
                stored.set_exception(Unavailable("The service is stopping; send the event again."))
        self._waiting.clear()
        await self._producer.stop()

    async def put(self, event: InboxEvent) -> None:
        """Return once the event is stored, now or before. Raises: Unavailable, RateLimited."""
        if len(self._waiting) >= _MOST_WAITING:
            raise RateLimited("Too many events at once; send the event again later.", retry_after_s=5)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        self._has_waiting.set()
        await stored

    async def _store_for_ever(self) -> None:
        while True:
            await self._has_waiting.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._waiting:
                self._has_waiting.clear()
            # Whose request was given up needs no row: Stripe sends it again.
            wanted = [(event, stored) for event, stored in batch if not stored.done()]
            if wanted:
                await self._store(wanted)

    async def _store(self, batch: Sequence[tuple[InboxEvent, asyncio.Future[None]]]) -> None:
        failure: Exception | None = None
        try:
            async with self._postgres.acting(_OPERATOR) as connection:
                new = await inbox.put_all(connection, [event for event, _ in batch])
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except MeterstreamError as exc:
            failure = exc
        except Exception as exc:
            log.exception("Stripe's events were not stored")
            failure = exc
        for _, stored in batch:
            if stored.done():
                continue
            if failure is not None:
                stored.set_exception(failure)
            else:
                stored.set_result(None)
        if failure is None:
            self._stored.extend({event.event_id: event for event, _ in batch if event.event_id in new}.values())
            self._has_stored.set()

    async def _produce_for_ever(self) -> None:
        await self._producer.start()
        while True:
            await self._has_stored.wait()
            await asyncio.sleep(_GATHER_S)
            batch = [self._stored.popleft() for _ in range(min(_BATCH, len(self._stored)))]
            if not self._stored:
                self._has_stored.clear()
            if not batch or self._producer.problem is not None:
                continue  # the relay's
            try:
                await self._producer.send_all([outgoing_record(event, self._partitions) for event in batch])
                async with self._postgres.acting(_OPERATOR) as connection:
                    await inbox.mark_produced(connection, [event.event_id for event in batch], untried=True)
            except MeterstreamError as exc:
                log.warning("Stripe's events wait for the relay", events=len(batch), reason=exc.message)
