"""The agent that applies Stripe's events: it looks at what they are about, once per object and batch.

An event that fails is made due again later, by and by more rarely, and at last parked with its error; so it never holds
up others. While Stripe itself does not answer, events wait and none is parked; once it does they are due again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import faust
from faust.types import TP
from psycopg import AsyncConnection

from metering.records import RecordBatch
from runtime.errors import MeterstreamError, RateLimited, SchemaValidation, StripeAPIError, Unavailable
from runtime.logging import get_logger
from runtime.telemetry import Telemetry
from sinks.mirror import Mirror
from sinks.postgres import inbox
from sinks.postgres.access import PostgresAccess
from sinks.postgres.inbox import Failed, Settled
from sinks.stripe.webhooks import WebhookEvent, read_event
from sinks.stripe_events import inbox_event
from streams.delivery import Lanes, Work, repeat_transient
from streams.stripe_event_routes import Place, places_of
from streams.stripe_outage import StripeOutage
from streams.transport import BatchSchema

log = get_logger(__name__)
_CHUNK: Final = 200
_LOOKS_AT_ONCE: Final = 8
# More than a chunk: those that waited come faster and faster while it goes well.
_HASTENED: Final = 500
_LONGEST_ERROR: Final = 1_000
_LONGEST_PAUSE_S: Final = 600.0
_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class BillingTools:
    """What applying events takes."""

    topic: str
    postgres: PostgresAccess
    mirror: Mirror
    telemetry: Telemetry
    committed: Callable[[], Awaitable[Mapping[int, int]]]
    """Where to begin, by partition. What is read twice is known by its state in the inbox."""
    give_up_s: float
    most_tries: int = 8
    first_pause_s: float = 2.0


@dataclass(slots=True)
class _Look:
    """One object and the events that are about it."""

    at: datetime
    event_ids: list[str] = field(default_factory=list)


class StripeEvents:
    """Every fetched batch goes to its partition's lane."""

    def __init__(self, tools: BillingTools) -> None:
        self._tools = tools
        self._positions: dict[int, int] = {}
        self._outage = StripeOutage(first_pause_s=tools.first_pause_s)
        self._looks_at_once = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self.on_progress: Callable[[], None] = lambda: None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes = Lanes(self._work_of, max_records=_CHUNK, on_failure=self.fail)

    def add_to(self, app: faust.App) -> None:
        """Add the agent, and follow the app's rebalances."""

        @app.agent(app.topic(self._tools.topic, schema=BatchSchema()), name="apply_stripe_events")
        async def apply_stripe_events(batches: Any) -> None:
            # Without Faust's own acks: a batch is done when its outcome is in the inbox.
            async for delivery in batches.noack().events():
                await self._lanes.put(delivery)

        # Faust restarts an agent that failed, without a word: ours stops the worker instead.
        apply_stripe_events._on_error = self._on_agent_error  # type: ignore[attr-defined]

        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)

    async def starts(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Return where the group stands for each assigned partition."""
        committed = await repeat_transient(
            self._tools.committed, give_up_s=self._tools.give_up_s, telemetry=self._tools.telemetry
        )
        self._positions = {tp.partition: committed.get(tp.partition, 0) for tp in assigned}
        return {tp: self._positions[tp.partition] for tp in assigned}

    def positions(self) -> dict[int, int]:
        """Return our partitions, and up to where each is done."""
        return dict(self._positions)

    async def close(self) -> None:
        """Finish the batches in hand."""
        await self._lanes.keep_only(set())

    def fail(self, failure: BaseException) -> None:
        """Stop the worker."""
        if not self.failed.done():
            self.failed.set_exception(failure)
        if not isinstance(failure, MeterstreamError):
            log.error("billing met a bug", exc_info=failure)

    def task_ended(self, task: asyncio.Task[None]) -> None:
        """Stop the worker if a task beside the agent failed."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.fail(failure)

    async def apply(self, values: Iterable[bytes | None]) -> None:
        """Apply the events of some records, and note what became of each. Raises: Unavailable (Postgres is down)."""
        events = dict(_read_all(values))
        async with self._tools.postgres.connection() as connection:
            still_open = await self._open_events(connection, events)
        looks: dict[Place, _Look] = {}
        followed = {event_id: places_of(events[event_id][0].body) for event_id in still_open}
        for event_id, places in followed.items():
            event = events[event_id][0]
            for place in places or ():
                look = looks.setdefault(place, _Look(event.created_at))
                look.at = max(look.at, event.created_at)
                look.event_ids.append(event_id)
        outcomes = await asyncio.gather(*(self._look(place, look.at) for place, look in looks.items()))
        found: defaultdict[str, list[bool | Exception]] = defaultdict(list)
        for look, outcome in zip(looks.values(), outcomes, strict=True):
            for event_id in look.event_ids:
                found[event_id].append(outcome)
        # A type that is followed, about nothing of ours to look at, such as a new price, has had all the effect it has.
        found.update({event_id: [True] for event_id, places in followed.items() if places == []})
        settled = [self._settled(event_id, found[event_id], failed) for event_id, failed in still_open.items()]
        if settled:
            async with self._tools.postgres.connection() as connection:
                await inbox.settle(connection, settled)
                await self._hasten(connection, settled, still_open)
        for outcome_of in settled:
            self._tools.telemetry.stripe_events.labels(state=outcome_of.state).inc()

    async def _open_events(
        self, connection: AsyncConnection, events: Mapping[str, tuple[WebhookEvent, bytes]]
    ) -> dict[str, Failed]:
        """Return which events are still to be applied, with their failures; one that Postgres has lost is put back."""
        known = await inbox.known_ids(connection, events)
        if lost := [inbox_event(*events[event_id]) for event_id in events if event_id not in known]:
            await inbox.put_all(connection, lost)
        return await inbox.read_open(connection, events)

    async def _hasten(
        self, connection: AsyncConnection, settled: Sequence[Settled], failed: Mapping[str, Failed]
    ) -> None:
        """Once what waited for Stripe is applied again, let the rest that waits come, some with every chunk."""
        if any(outcome.outage for outcome in settled):
            return
        waited = any(failed[outcome.event_id].outages and outcome.error is None for outcome in settled)
        if waited or self._outage.is_over:
            self._outage.is_over = await inbox.hasten(connection, limit=_HASTENED) > 0

    async def _look(self, place: Place, at: datetime) -> bool | Exception:
        kind, stripe_id = place
        async with self._looks_at_once:
            try:
                return await self._tools.mirror.look(kind, stripe_id, at=at)
            except Exception as exc:
                log.warning("an object could not be applied", kind=kind, stripe_id=stripe_id, reason=_told(exc))
                return exc

    def _settled(self, event_id: str, outcomes: Sequence[bool | Exception], failed: Failed) -> Settled:
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if not failures:
            return Settled(event_id, "applied" if any(outcomes) else "ignored")
        # One that may be the event's own fault weighs more than a service that is down.
        failure = next((each for each in failures if not _is_outage(each)), failures[0])
        if _is_outage(failure):
            return Settled(event_id, "received", _told(failure), self._outage.pause_s(failed.outages), outage=True)
        if failed.tries + 1 >= self._tools.most_tries:
            log.error("an event of Stripe's is parked", stripe_event_id=event_id, reason=_told(failure))
            return Settled(event_id, "parked", _told(failure))
        pause_s = min(self._tools.first_pause_s * 2**failed.tries, _LONGEST_PAUSE_S)
        return Settled(event_id, "received", _told(failure), pause_s)

    def _work_of(self, partition: int) -> Work:
        async def work(batch: RecordBatch) -> None:
            for start in range(0, len(batch), _CHUNK):
                values = batch.values[start : start + _CHUNK]
                await repeat_transient(
                    lambda values=values: self.apply(values),  # type: ignore[misc]
                    give_up_s=self._tools.give_up_s,
                    telemetry=self._tools.telemetry,
                )
            self._positions[partition] = batch.to_position
            self.on_progress()

        return work

    async def _on_agent_error(self, _: Any, failure: BaseException) -> None:
        self.fail(failure)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        await self._lanes.pause(timeout_s=_PAUSE_S)

    async def _on_assigned(self, _: Any, /, *args: Any, **__: Any) -> None:
        ours = {tp.partition for tp in args[0]}
        await self._lanes.keep_only(ours)
        log.info("partitions assigned", partitions=sorted(ours))


def _read_all(values: Iterable[bytes | None]) -> Iterable[tuple[str, tuple[WebhookEvent, bytes]]]:
    """Yield the events; only verified ones are produced, so whatever else there is was never Stripe's."""
    for value in values:
        try:
            event = read_event(value or b"")
        except SchemaValidation as exc:
            log.error("a record of Stripe's topic is no event", reason=exc.message)  # noqa: TRY400
            continue
        yield event.id, (event, value or b"")


def _is_outage(failure: Exception) -> bool:
    """Say whether a service is down or does not know our key: no event is to blame, and waiting mends that.

    A key that may not read one kind of object (403) is no outage: the others go on, and those are parked to be seen.
    """
    if isinstance(failure, StripeAPIError):
        return failure.details.get("status") == 401
    return isinstance(failure, Unavailable | RateLimited)


def _told(failure: Exception) -> str:
    """Return what operators read. Our own errors name no secret; a bug's text may hold anything."""
    if isinstance(failure, MeterstreamError):
        return f"{failure.code}: {failure.message}"[:_LONGEST_ERROR]
    return f"UNEXPECTED_ERROR: {type(failure).__name__}"
