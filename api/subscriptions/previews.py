"""What will be billed, as Stripe says it: the next invoice, and the one that a change would make."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.subscriptions.invoice_models import PreviewBody, preview_as_json
from api.subscriptions.subscription_models import ChangeSubscription
from api.subscriptions.subscription_targets import PRORATIONS, nothing_to_change, read_target, require_next_period
from api.subscriptions.subscription_turns import SubscriptionId
from billing.stripe_objects import read_invoice
from sinks.postgres.subscriptions import find_subscription

router = APIRouter(prefix=f"{PREFIX}/subscriptions", tags=["subscriptions"], route_class=ExactRoute)


@router.post(
    "/{id}/preview",
    summary="Preview a change",
    response_model=PreviewBody,
    responses=errors(400, 404, 413, 422, 429),
)
async def preview(
    id: SubscriptionId,
    body: ChangeSubscription,
    actor: Annotated[Actor, allowed("subscriptions:read")],
    stores: OpenStores,
) -> Response:
    """Show the invoice that a change (the body of PATCH) would bring: at once, or with the next period.

    A change to another interval with the next period is shown as if that period began now. Nothing is changed.
    """
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_subscription(connection, str(id))
    target = await read_target(stores, actor, row, body)
    if not target:
        raise nothing_to_change(row)
    proration = PRORATIONS[body.proration]
    if not target.changes:  # only the version is another: nothing is billed for that
        return await _previewed(stores, row.stripe_subscription_id)
    if body.timing == "next_billing_cycle":
        require_next_period(row)
        proration = "none"
    details: dict[str, Any] = {"items": target.changes, "proration_behavior": proration}
    if target.restarts:
        details["billing_cycle_anchor"] = {"type": "now"}
    if body.proration_at is not None:
        details["proration_date"] = int(body.proration_at.timestamp())
    return await _previewed(stores, row.stripe_subscription_id, subscription_details=details)


@router.get(
    "/{id}/upcoming-invoice",
    summary="Preview the next invoice",
    response_model=PreviewBody,
    responses=errors(400, 404, 429),
)
async def upcoming(
    id: SubscriptionId,
    actor: Annotated[Actor, allowed("invoices:read")],
    stores: OpenStores,
) -> Response:
    """Show what the next period will be billed with, as things are now."""
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_subscription(connection, str(id))
    return await _previewed(stores, row.stripe_subscription_id)


async def _previewed(stores: Stores, subscription: str, **params: Any) -> Response:
    with explained_refusals():
        sent = await stores.selling.stripe.invoices.preview(subscription=subscription, **params)
    return json_answer(preview_as_json(read_invoice(sent, sent["lines"]["data"]), sent))
