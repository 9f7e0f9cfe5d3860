"""One subscription per product and customer: whoever starts one, or changes another to it, holds the customer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from api.access.actor import Actor
from api.http.documentation import PREFIX
from api.stores import Stores
from api.stripe.refusals import customer_currency
from runtime.errors import ConflictError, InvalidInput
from sinks.postgres.access import Access
from sinks.postgres.checkouts import open_sessions, subscription_of_product
from sinks.postgres.customers import CustomerRow, other_running_currency, running_subscriptions
from sinks.postgres.leases import lease
from sinks.postgres.plans import PlanRow
from sinks.postgres.subscriptions import find_subscription


@asynccontextmanager
async def begun_alone(
    stores: Stores,
    actor: Actor,
    customer: CustomerRow,
    plan: PlanRow,
    *,
    currency: str | None = None,
    checkout_id: str | None = None,
    mark: str | None = None,
    reason: str | None = None,
) -> AsyncIterator[None]:
    """Hold a customer while they are subscribed to a plan's product, or sent to a page of Stripe's for it.

    What the block does must be known to Postgres when it ends.

    Pages on which they could still buy it, too, are closed, but for that of `checkout_id`. A subscription that an
    earlier try of this request made, which left its `mark`, is no second one.
    `currency`: in which they are to pay. Raises: ConflictError ALREADY_SUBSCRIBED, CUSTOMER_BUSY; BusinessLogicError
    CUSTOMER_CURRENCY; Unavailable when it takes too long.
    """
    access = Access(organization_id=customer.organization_id)
    async with lease(stores.postgres, access, "customer", customer.id, actor.name, reason=reason):
        await _close_pages(stores, actor, customer, plan, checkout_id)
        await _follow_unknown(stores, customer, access)
        await _require_unsubscribed(stores, customer, plan, mark)
        if currency is not None:
            await _require_currency(stores, customer, currency)
        yield


async def follow_checkout(stores: Stores, actor: Actor, session: str, *, organization_id: str) -> None:
    """Bring a checkout, and what was bought on its page, to what Stripe says."""
    access = Access(organization_id=organization_id)
    await stores.selling.mirror.look("checkout_session", session, actor=actor.name, reason="checkout", access=access)


async def _close_pages(
    stores: Stores, actor: Actor, customer: CustomerRow, plan: PlanRow, checkout_id: str | None
) -> None:
    organization_id = customer.organization_id
    async with stores.postgres.acting(Access(organization_id=organization_id)) as connection:
        sessions = await open_sessions(
            connection, customer_id=customer.id, stripe_product_id=str(plan.stripe_product_id), except_id=checkout_id
        )
    for session in sessions:
        # Refused where it was completed meanwhile: then there is a subscription now.
        with suppress(InvalidInput, ConflictError):
            await stores.selling.stripe.checkout.expire(f"checkout.close:{session}", session)
        await follow_checkout(stores, actor, session, organization_id=organization_id)


async def _follow_unknown(stores: Stores, customer: CustomerRow, access: Access) -> None:
    """Bring here what Stripe has begun and nobody has heard of yet: an answer was lost, an event is late."""
    if customer.stripe_customer_id is None:
        return
    async with stores.postgres.acting(access) as connection:
        known = await running_subscriptions(connection, customer.id)
    async for subscription in stores.selling.stripe.subscriptions.each(customer=customer.stripe_customer_id):
        if subscription["id"] not in known:
            await stores.selling.mirror.look("subscription", subscription["id"], access=access)


async def _require_currency(stores: Stores, customer: CustomerRow, currency: str) -> None:
    """Stripe takes one currency a customer, while anything of theirs runs (docs.stripe.com/billing/customer)."""
    async with stores.postgres.acting(Access(organization_id=customer.organization_id)) as connection:
        running = await other_running_currency(connection, customer.id, currency)
    if running is not None:
        raise customer_currency(currency, running)


async def _require_unsubscribed(stores: Stores, customer: CustomerRow, plan: PlanRow, mark: str | None) -> None:
    async with stores.postgres.acting(Access(organization_id=customer.organization_id)) as connection:
        held = await subscription_of_product(
            connection, customer_id=customer.id, stripe_product_id=str(plan.stripe_product_id)
        )
        if held is None:
            return
        row = await find_subscription(connection, held.id)
    if mark is not None and row.request_mark == mark:
        return
    path = f"{PREFIX}/subscriptions/{held.id}"
    change: dict[str, Any] | None = {"method": "PATCH", "path": path, "body": {"plan": plan.slug}}
    advice = f"change it with PATCH {path}"
    if row.cancel_at is not None or row.cancel_at_period_end:
        change = {"method": "POST", "path": f"{path}/reactivate", "body": {}}
        advice = f"it is to end, and goes on after POST {path}/reactivate"
    elif row.plan_id == plan.id:
        change = None
        advice = f"it is this very plan; another interval or quantity is for PATCH {path}"
    raise ConflictError(
        f"The customer has a subscription to {held.plan} already: {advice}.",
        code="ALREADY_SUBSCRIBED",
        subscription_id=held.id,
        status=held.status,
        plan=held.plan,
        change=change,
    )
