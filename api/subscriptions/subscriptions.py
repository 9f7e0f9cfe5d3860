"""`/subscriptions`: listed, shown and begun. What happens to one is in `subscription_changes` and `…_actions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.catalogue.discount_rules import usable_code
from api.catalogue.plan_lookup import wanted_items
from api.catalogue.plans import as_uuid, organization_asked_for
from api.catalogue.purchases import Purchase, read_purchase
from api.customers.customer_lookup import named_customer, stripe_customer_of
from api.customers.owners import customers_seen
from api.http.documentation import PREFIX, errors
from api.http.paging import Listed, Page
from api.http.responses import ExactRoute, json_answer
from api.stripe.refusals import explained_refusals
from api.subscriptions.purchase_lock import begun_alone
from api.subscriptions.subscription_models import (
    CreateSubscription,
    SubscriptionBody,
    scheduled_prices,
    subscription_as_json,
)
from api.subscriptions.subscription_turns import MARK, Asker, SubscriptionId, Writing, require_seller, show_subscription
from api.subscriptions.trials import trial_of
from billing.stripe_objects import PLAN_KEY
from billing.subscriptions import Status
from runtime.errors import NotFoundError
from runtime.logging import get_logger
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.customers import CustomerRow
from sinks.postgres.subscriptions import (
    SubscriptionFilters,
    find_subscription_at_stripe,
    list_subscriptions,
    read_subscription,
)

log = get_logger(__name__)

router = APIRouter(prefix=f"{PREFIX}/subscriptions", tags=["subscriptions"], route_class=ExactRoute)

Reader = Annotated[Actor, allowed("subscriptions:read")]


@dataclass(frozen=True, slots=True)
class _Order:
    """What is bought, by whom, on which terms."""

    customer: CustomerRow
    purchase: Purchase
    promotion_code: str | None


@router.get("", summary="List subscriptions", response_model=Page[SubscriptionBody], responses=errors(400))
async def list_all(
    actor: Reader,
    stores: OpenStores,
    *,
    status: Annotated[list[Status] | None, Query(description="Any of these.")] = None,
    customer_id: Annotated[UUID | None, Query(description="Of this customer.")] = None,
    plan: Annotated[
        str | None,
        Query(
            pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
            description="To this plan: a slug, or a version's id.",
            examples=["team"],
        ),
    ] = None,
    listed: Listed,
) -> Response:
    """List subscriptions by when they began; an end user's are their own, also of a customer who was deleted."""
    plan_id = as_uuid(plan) if plan else None
    async with stores.postgres.acting(actor.access) as connection:
        filters = SubscriptionFilters(
            organization_id=actor.organization_id,
            customers=await customers_seen(connection, actor, customer_id),
            status=status,
            plan_id=plan_id,
            plan_slug=None if plan_id else plan,
        )
        rows = await list_subscriptions(connection, filters, listed.listing)
        shown = {row.id: await show_subscription(connection, row) for row in rows}
    return json_answer(listed.page(rows, show=lambda row: shown[row.id]))


@router.get("/{id}", summary="Show a subscription", response_model=SubscriptionBody, responses=errors(400, 404))
async def show(
    id: SubscriptionId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Show a subscription as Stripe told it last."""
    row = await read_subscription(stores.postgres, actor.access, str(id))
    if not scheduled_prices(row):
        return json_answer(subscription_as_json(row))
    async with stores.postgres.acting(actor.access) as connection:
        return json_answer(await show_subscription(connection, row))


@router.post(
    "",
    status_code=201,
    summary="Create a subscription",
    response_model=SubscriptionBody,
    responses=errors(400, 404, 409, 413, 422, 429),
)
async def create(body: CreateSubscription, asker: Writing) -> Response:
    """Subscribe a customer, and charge the first period to their default payment method.

    A card that is declined leaves nothing, here and at Stripe. What is on trial is charged when the trial ends; the
    plan's trial is given once, also to a user whose customer was deleted and made anew. Who has a subscription of the
    same product already gets 409 ALREADY_SUBSCRIBED, and 409 CUSTOMER_BUSY while another request subscribes them to
    anything. Checkout pages that they left open for the same product are closed.
    """
    stores, actor = asker.stores, asker.actor
    order = await _order(asker, body)
    mark = asker.mark("subscription:create")
    access = Access(organization_id=order.customer.organization_id)
    mirror = stores.selling.mirror
    async with begun_alone(
        stores,
        actor,
        order.customer,
        order.purchase.row,
        currency=order.purchase.currency,
        mark=mark,
        reason=body.reason,
    ):
        trial_days = await trial_of(stores, actor, order.customer, order.purchase, asked=body.trial_days, mark=mark)
        stripe_id, invoice = await _begin(asker, order, mark, trial_days=trial_days)
        await mirror.look("subscription", stripe_id, actor=actor.name, reason=body.reason, access=access)
    if invoice is not None:
        await mirror.look("invoice", invoice, actor=actor.name, access=access)
    async with stores.postgres.acting(access) as connection:
        row = await find_subscription_at_stripe(connection, stripe_id)
        shown = await show_subscription(connection, row)
        await record(
            connection,
            organization_id=row.organization_id,
            author=actor.author,
            action="subscription.create",
            target=("subscription", row.id),
            after=shown,
        )
    log.info("A subscription has begun", subscription=row.id, status=row.status, actor=actor.name)
    return json_answer(shown, status=201)


async def _order(asker: Asker, body: CreateSubscription) -> _Order:
    """Check what is asked for against what is sold. Raises: NotFoundError, InvalidInput, BusinessLogicError."""
    stores, actor = asker.stores, asker.actor
    organization_id = actor.organization_id
    if organization_id is None and body.organization is not None:
        organization_id = await organization_asked_for(asker.request, stores, None, body.organization)
    named = str(body.customer_id) if body.customer_id else None
    customer = await named_customer(stores, actor, named, organization_id=organization_id)
    purchase = await read_purchase(asker.request, stores, actor, body, currency=customer.currency)
    plan = purchase.row
    if plan.organization_id != customer.organization_id:
        raise NotFoundError("You are no customer of who sells this plan.", code="CUSTOMER_NOT_FOUND")
    if body.trial_days is not None and body.trial_days > purchase.plan.trial_days:
        require_seller(actor, "give a longer trial")
    promotion_code = None
    if body.discount_code is not None:
        code = await usable_code(
            stores,
            body.discount_code,
            organization_id=plan.organization_id,
            plan=plan.slug,
            currency=purchase.currency,
        )
        promotion_code = code.stripe_promotion_code_id
    return _Order(customer, purchase, promotion_code)


async def _begin(asker: Asker, order: _Order, mark: str, *, trial_days: int) -> tuple[str, str | None]:
    """Create it at Stripe; return its id and its first invoice's."""
    purchase = order.purchase
    stripe_customer = await stripe_customer_of(asker.stores, asker.actor, order.customer)
    params: dict[str, Any] = {
        "customer": stripe_customer,
        "currency": purchase.currency,
        "items": [
            {"price": item.price} if item.quantity is None else {"price": item.price, "quantity": item.quantity}
            for item in wanted_items(purchase.row, purchase.bought)
        ],
        "payment_behavior": "error_if_incomplete",
        "metadata": {MARK: mark, PLAN_KEY: purchase.row.id},
    }
    if trial_days:
        params["trial_period_days"] = trial_days
    if order.promotion_code is not None:
        params["discounts"] = [{"promotion_code": order.promotion_code}]
    with explained_refusals():
        made = await asker.stores.selling.stripe.subscriptions.create(asker.key("subscription:create"), **params)
    return str(made["id"]), made["latest_invoice"]
