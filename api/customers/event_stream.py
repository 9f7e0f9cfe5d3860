"""`GET /events/stream`: a customer's changes as server-sent events, as they commit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import anyio
import msgspec
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed, look_again
from api.http.documentation import PREFIX, errors
from api.stores import Stores
from runtime.errors import (
    AuthenticationError,
    AuthorizationError,
    InvalidInput,
    NotFoundError,
    RateLimited,
    Unavailable,
)
from runtime.logging import get_logger
from runtime.settings import Settings
from runtime.tasks import end_tasks
from runtime.telemetry import Telemetry
from sinks.postgres.customer_changes import CustomerChange, changes_after, last_change_id
from sinks.postgres.customers import customers_of_user, find_customer
from sinks.postgres.news import follow_outbox

log = get_logger(__name__)
router = APIRouter(prefix=f"{PREFIX}/events", tags=["events"])

_HEARTBEAT_S: Final = 15
# Safety net: even without a notification a stream polls, and checks its credential again, this often.
_LOOK_S: Final = 15.0
_OUTAGE_S: Final = 1.0
_PAGE: Final = 100
# Another safety net: then the client reconnects with the id of its last event, and is checked like any request.
_LIFE_S: Final = 900.0
_RETRY_MS: Final = 1_000
_FAREWELL_S: Final = 3.0

_DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A stream without end: `id`, `event` (the kind) and `data` (JSON) a change, comments between.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": "id: 17\r\nevent: subscription.updated\r\n"
                'data: {"id":"17","kind":"subscription.updated","customer_id":"…","created_at":"…","data":{…}}\r\n\r\n',
            }
        },
    }
}


class Streams:
    """The open streams of a process: no more than it can carry, woken together."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._gauge = telemetry.event_streams
        self._each: Counter[str] = Counter()
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @asynccontextmanager
    async def woken(self) -> AsyncIterator[None]:
        """Hear of changes as they commit."""
        following = follow_outbox(self._settings.postgres, self.ring, service="api-streams")
        ear = asyncio.create_task(following, name="outbox-news")
        try:
            yield
        finally:
            await end_tasks(ear)

    def ring(self, customer_id: str | None) -> None:
        """Wake who waits for a customer's changes; None: everybody."""
        bells = self._bells.values() if customer_id is None else [self._bells.get(customer_id, set())]
        for bell in (bell for some in bells for bell in some):
            bell.set()

    def open(self, who: str, customer_id: str) -> asyncio.Event:
        """Return the bell of one more stream; `close` it. Raises: RateLimited."""
        settings = self._settings.api
        if self._each[who] >= settings.max_streams_each:
            raise RateLimited(
                f"You have {settings.max_streams_each} streams open: close one first.",
                code="TOO_MANY_STREAMS",
                limit=settings.max_streams_each,
                retry_after_s=_HEARTBEAT_S,
            )
        if self._each.total() >= settings.max_streams:
            raise RateLimited(
                "This server carries no more streams; try again later.",
                code="TOO_MANY_STREAMS",
                limit=settings.max_streams,
                retry_after_s=_HEARTBEAT_S,
            )
        bell = asyncio.Event()
        self._bells[customer_id].add(bell)
        self._each[who] += 1
        self._gauge.set(self._each.total())
        return bell

    def close(self, who: str, customer_id: str, bell: asyncio.Event) -> None:
        """Forget a stream."""
        self._bells[customer_id].discard(bell)
        if not self._bells[customer_id]:
            del self._bells[customer_id]
        self._each[who] -= 1
        if not self._each[who]:
            del self._each[who]
        self._gauge.set(self._each.total())


@router.get(
    "/stream",
    summary="Follow a customer's changes",
    response_class=EventSourceResponse,
    responses={**_DOCUMENTED, **errors(400, 404)},
)
async def stream(
    request: Request,
    actor: Annotated[Actor, allowed("events:read")],
    stores: OpenStores,
    *,
    customer_id: Annotated[
        UUID | None, Query(description="Whose; who signed in and has one customer alone may leave it out.")
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,18}$",
            description="Begin after this one; with what comes from now on, if missing.",
            examples=["17"],
        ),
    ] = None,
) -> Response:
    """Send changes of a customer's subscriptions and invoices as they happen, as server-sent events.

    A stream ends after 15 minutes at the latest, and within seconds after its credential ends: come back with the
    header Last-Event-ID within 30 days, and nothing is missed. Events come in order, each at least once. Their kinds,
    and what `data` holds beside ids and the version:

    - `subscription.created`, `subscription.updated`: status, `plan_id`, quantity, MRR, and `changes`: the fields that
      differ, as Stripe has them. `items` are prices at Stripe, and `billing_cycle` is how often they are billed. `GET
      /subscriptions/{id}/changes` tells the same changes with plans and intervals.
    - `invoice.created`, `invoice.updated`: status, number, billing reason, amounts, when the next attempt to collect it
      is. `invoice.deleted`: a draft was withdrawn.

    An invoice comes as it is when we look: what is paid at once may be an `invoice.created` with the status `paid`, and
    nothing comes after it. Go by the status, not by the kind.
    """
    async with stores.postgres.acting(actor.access) as connection:
        if customer_id is not None:
            customer = (await find_customer(connection, str(customer_id))).id
        elif actor.kind == "user":
            customer = _only([row.id for row in await customers_of_user(connection, str(actor.user_id))])
        else:
            raise InvalidInput("customer_id: name the customer whose changes you want", field="customer_id")
        after = await last_change_id(connection, customer) if last_event_id is None else int(last_event_id)
    streams: Streams = request.app.state.streams
    who = f"{actor.organization_id} {actor.name}"
    bell = streams.open(who, customer)
    look = partial(look_again, request, "events:read")
    follower = _Follower(stores, look, actor=actor, customer=customer, after=after, bell=bell)
    return _Stream(follower, on_end=lambda: streams.close(who, customer, bell))


def _only(customers: list[str]) -> str:
    if not customers:
        raise NotFoundError("You are no customer yet: buy a plan first.", code="CUSTOMER_NOT_FOUND")
    if len(customers) > 1:
        raise InvalidInput(
            "customer_id: you are a customer of several organizations, name one", field="customer_id", known=customers
        )
    return customers[0]


class _Follower:
    """Reads on from the last change whenever the bell rings, for as long as who asked may read it."""

    def __init__(
        self,
        stores: Stores,
        look_again: Callable[[], Awaitable[Actor]],
        *,
        actor: Actor,
        customer: str,
        after: int,
        bell: asyncio.Event,
    ) -> None:
        self.ending = anyio.Event()
        self._stores = stores
        self._look_again = look_again
        self._actor = actor
        self._customer = customer
        self._after = after
        self._bell = bell
        self._ends_s = time.monotonic() + _LIFE_S
        self._known_until_s = time.monotonic() + _LOOK_S

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Give changes until the server, the stream's life or the right to read them ends."""
        yield ServerSentEvent(comment="changes follow", retry=_RETRY_MS)
        while not self.ending.is_set() and time.monotonic() < self._ends_s:
            self._bell.clear()
            try:
                await self._require_still()
                changes = await self._read()
            except (AuthenticationError, AuthorizationError, NotFoundError) as exc:
                log.info("a stream ends with its credential", reason=exc.message)
                return
            except Unavailable as exc:
                log.warning("a stream waits for a store", reason=exc.message)
                await self._wait(_OUTAGE_S)
                continue
            for change in changes:
                self._after = change.id
                yield _as_event(change, self._customer)
            if len(changes) < _PAGE:
                await self._wait(_LOOK_S)

    async def _require_still(self) -> None:
        if time.monotonic() >= self._known_until_s:
            self._actor = await self._look_again()
            self._known_until_s = time.monotonic() + _LOOK_S

    async def _read(self) -> list[CustomerChange]:
        async with self._stores.postgres.acting(self._actor.access) as connection:
            return await changes_after(connection, self._customer, after=self._after, limit=_PAGE)

    async def _wait(self, most_s: float) -> None:
        """Return when the bell rings, the server ends, or in time."""
        waits = {asyncio.ensure_future(self._bell.wait()), asyncio.ensure_future(self.ending.wait())}
        left_s = max(0.0, self._ends_s - time.monotonic())
        try:
            await asyncio.wait(waits, timeout=min(most_s, left_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class _Stream(EventSourceResponse):
    """Says farewell when the server ends, and is closed however it ends."""

    def __init__(self, follower: _Follower, *, on_end: Callable[[], None]) -> None:
        super().__init__(
            follower.events(),
            ping=_HEARTBEAT_S,
            ping_message_factory=lambda: ServerSentEvent(comment="still here"),
            shutdown_event=follower.ending,
            shutdown_grace_period=_FAREWELL_S,
        )
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _as_event(change: CustomerChange, customer_id: str) -> ServerSentEvent:
    body = {
        "id": str(change.id),
        "kind": change.kind,
        "customer_id": customer_id,
        "created_at": change.created_at,
        "data": msgspec.Raw(change.payload.encode()),
    }
    return ServerSentEvent(id=str(change.id), event=change.kind, data=msgspec.json.encode(body).decode())
