"""One request's turn on a subscription: checked here, changed at Stripe once, answered from Postgres.

1. The state table and our rules decide on what Postgres holds; Stripe is not asked for what is refused.
2. The subscription is leased: another request gets 409 meanwhile. Dying here leaves a lease that lapses.
3. We look at Stripe, and check again on what is true now. What an earlier try of the same Idempotency-Key did is seen
   by the mark it left in Stripe's metadata: it is not done again, and not refused because it is done.
4. Stripe is asked to change it; the mark is part of the same call. Dying here, the mirror brings what became of it.
5. We look again, write the audit log, and answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.http.responses import json_answer
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.stripe.request_keys import stripe_key
from api.subscriptions.subscription_models import scheduled_prices, subscription_as_json
from billing.subscriptions import Action, next_status
from runtime.errors import InsufficientPermissions
from runtime.logging import get_logger
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.leases import lease
from sinks.postgres.subscriptions import SubscriptionRow, find_subscription, plans_of_prices

log = get_logger(__name__)

T = TypeVar("T")
MARK: Final = "meterstream_request"
"""Metadata of a subscription: which request of ours changed it last."""

_CONFIRM_CHANGE: Final = (
    "let them save the card on Stripe's page (POST /portal), which asks them, and repeat this; or send"
    ' "proration": "prorate", which bills the difference with the next invoice'
)

SubscriptionId = Annotated[
    UUID, Path(description="The subscription's id.", examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
]


@dataclass(frozen=True, slots=True)
class Asker:
    """A request that may change subscriptions."""

    request: Request
    actor: Actor
    stores: Stores

    def key(self, what: str) -> str:
        """Return the key of a call to Stripe."""
        return stripe_key(self.request, self.actor, what)

    def mark(self, what: str) -> str:
        """Return what this request leaves at Stripe; a repetition under the same Idempotency-Key leaves the same."""
        return hashlib.sha256(self.key(what).encode()).hexdigest()[:32]


def _asker(request: Request, actor: Annotated[Actor, allowed("subscriptions:write")], stores: OpenStores) -> Asker:
    return Asker(request, actor, stores)


Writing = Annotated[Asker, Depends(_asker)]


@dataclass(frozen=True, slots=True)
class Turn:
    """A leased subscription as it is at Stripe now."""

    asker: Asker
    what: str
    row: SubscriptionRow
    mark: str

    @property
    def repeated(self) -> bool:
        """Say whether an earlier try of the same request changed it already."""
        return self.row.request_mark == self.mark

    @property
    def stripe_id(self) -> str:
        """Return Stripe's id of the subscription."""
        return self.row.stripe_subscription_id

    @property
    def active_schedule(self) -> dict[str, Any] | None:
        """Return Stripe's schedule of what is to come, if there is one."""
        schedule = self.row.schedule
        return schedule if isinstance(schedule, dict) and schedule["status"] == "active" else None

    async def update(self, *, metadata: Mapping[str, str] | None = None, **params: Any) -> None:
        """Change it at Stripe, unless that is done; parameters as Stripe takes them. Raises: PaymentFailed."""
        if self.repeated:
            return
        with explained_refusals(authenticate=_CONFIRM_CHANGE):
            await self.asker.stores.selling.stripe.subscriptions.update(
                self.key("update"), self.stripe_id, metadata={MARK: self.mark, **(metadata or {})}, **params
            )

    async def release_schedule(self) -> None:
        """Withdraw what was to come, if anything was."""
        if (schedule := self.active_schedule) is not None:
            schedules = self.asker.stores.selling.stripe.subscription_schedules
            await schedules.release(self.key(f"release:{schedule['id']}"), schedule["id"])

    def key(self, step: str) -> str:
        """Return the key of a call to Stripe."""
        return self.asker.key(f"subscription:{self.row.id}:{self.what}:{step}")


async def take_turn(
    asker: Asker,
    subscription_id: UUID,
    what: str,
    *,
    check: Callable[[SubscriptionRow], Awaitable[T]],
    write: Callable[[Turn, T | None], Awaitable[None]],
    reason: str | None,
) -> Response:
    """Change a subscription and answer with it.

    `check` refuses what is not possible; `write` gets what it returned, or None where this request was at it before.
    Raises: NotFoundError, ConflictError SUBSCRIPTION_BUSY, what `check` refuses, Stripe's refusals, Unavailable.
    """
    stores, actor = asker.stores, asker.actor
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_subscription(connection, str(subscription_id))
    # The caller's access decides what they see; row-level security lets only the organization write it.
    access = Access(organization_id=row.organization_id)
    mark = asker.mark(f"subscription:{row.id}:{what}")
    if row.request_mark != mark:
        await check(row)
    async with lease(stores.postgres, access, "subscription", row.id, actor.name, reason=reason):
        # What changed before this request is not its doing.
        before = await _looked_at(stores, access, row, actor="stripe")
        turn = Turn(asker, what, before, mark)
        intent = None if turn.repeated else await check(before)
        await write(turn, intent)
        after = await _looked_at(stores, access, before, actor=actor.name, reason=reason)
        if after.latest_invoice not in (None, row.latest_invoice):
            await stores.selling.mirror.look("invoice", after.latest_invoice, actor=actor.name, access=access)
        async with stores.postgres.acting(access) as connection:
            shown = await show_subscription(connection, after)
            await record(
                connection,
                organization_id=row.organization_id,
                author=actor.author,
                action=f"subscription.{what}",
                target=("subscription", row.id),
                before=subscription_as_json(before),
                after=shown,
            )
    log.info("A subscription is changed", what=what, subscription=row.id, status=after.status, actor=actor.name)
    return json_answer(shown)


async def show_subscription(connection: AsyncConnection, row: SubscriptionRow) -> dict[str, Any]:
    """Return a subscription as clients see it, with the plan that is to come."""
    prices = scheduled_prices(row)
    plans = await plans_of_prices(connection, list(prices), organization_id=row.organization_id) if prices else ()
    return subscription_as_json(row, plans)


def require_action(row: SubscriptionRow, action: Action) -> None:
    """Refuse what its status does not allow. Raises: InvalidStateTransition."""
    next_status(row.state, action)


def require_seller(actor: Actor, what: str) -> None:
    """Refuse end users what only who sells may give. Raises: InsufficientPermissions."""
    if actor.kind == "user":
        raise InsufficientPermissions(f"Only the seller may {what}: ask them.", required="organization")


async def _looked_at(
    stores: Stores, access: Access, row: SubscriptionRow, *, actor: str, reason: str | None = None
) -> SubscriptionRow:
    await stores.selling.mirror.look(
        "subscription", row.stripe_subscription_id, actor=actor, reason=reason, access=access
    )
    async with stores.postgres.acting(access) as connection:
        return await find_subscription(connection, row.id)
