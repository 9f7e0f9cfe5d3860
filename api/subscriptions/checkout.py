"""`/checkout`: sends a customer to Stripe's page, and tells what became of it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.catalogue.discount_rules import usable_code
from api.catalogue.plan_lookup import wanted_items
from api.catalogue.purchases import Purchase, read_purchase
from api.customers.customer_lookup import buyer, stripe_customer_of
from api.http.documentation import PREFIX, errors
from api.http.request_body import require_return_addresses
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.stripe.request_keys import new_id, stripe_key
from api.subscriptions.checkout_models import CheckoutBody, StartCheckout, checkout_as_json
from api.subscriptions.purchase_lock import begun_alone, follow_checkout
from api.subscriptions.trials import trial_of
from billing.stripe_objects import CHECKOUT_KEY, PLAN_KEY
from runtime.errors import BusinessLogicError, RateLimited, Unavailable
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.checkouts import (
    CheckoutRow,
    NewCheckout,
    create_checkout,
    find_checkout,
)
from sinks.postgres.discount_codes import DiscountCodeRow

router = APIRouter(prefix=f"{PREFIX}/checkout", tags=["checkout"], route_class=ExactRoute)


@router.post(
    "",
    status_code=201,
    summary="Start a checkout",
    response_model=CheckoutBody,
    responses=errors(400, 404, 409, 413, 422),
)
async def start(
    request: Request,
    body: StartCheckout,
    actor: Annotated[Actor, allowed("checkout:write")],
    stores: OpenStores,
) -> Response:
    """Open a page of Stripe on which the customer subscribes to a plan; send them to `url`.

    Who has a subscription of the same product already gets 409 ALREADY_SUBSCRIBED; `details` say how to change it. A
    page that the customer left open for the same product is closed, so that nobody pays twice; while another request of
    theirs opens one, or subscribes them, the answer is 409 CUSTOMER_BUSY. While Stripe is out of reach it is 503, and
    the same request again finishes it. The plan's trial is given once, also to a user whose customer was deleted and
    made anew.
    """
    origins = request.app.state.settings.api.return_origins
    require_return_addresses(origins, success_url=body.success_url, cancel_url=body.cancel_url)
    purchase = await read_purchase(request, stores, actor, body)
    organization_id = purchase.row.organization_id
    _require_offered(purchase, body.trial_days)
    customer = await buyer(
        stores, actor, None if body.customer_id is None else str(body.customer_id), organization_id=organization_id
    )
    if body.currency is None and customer.currency not in (None, purchase.currency):
        purchase = await read_purchase(request, stores, actor, body, currency=customer.currency)
    discount = body.discount_code and await usable_code(
        stores,
        body.discount_code,
        organization_id=organization_id,
        plan=purchase.row.slug,
        currency=purchase.currency,
    )
    checkout_id = new_id(request, actor, "checkout")
    async with begun_alone(stores, actor, customer, purchase.row, currency=purchase.currency, checkout_id=checkout_id):
        params = _session_params(
            body,
            purchase,
            customer=await stripe_customer_of(stores, actor, customer),
            checkout_id=checkout_id,
            trial_days=await trial_of(stores, actor, customer, purchase, asked=body.trial_days),
            discount=discount or None,
        )
        with explained_refusals():
            session = await stores.selling.stripe.checkout.create(stripe_key(request, actor, "checkout"), **params)
        checkout = NewCheckout(
            id=checkout_id,
            organization_id=organization_id,
            customer_id=customer.id,
            plan_id=purchase.row.id,
            billing_cycle=str(purchase.cycle),
            currency=purchase.currency,
            quantity=body.quantity,
            discount_code_id=discount.id if discount else None,
            stripe_session_id=session["id"],
            url=session["url"],
            expires_at=datetime.fromtimestamp(session["expires_at"], UTC),
        )
        row = await _keep(stores, actor, checkout)
    return json_answer(checkout_as_json(row), status=201)


async def _keep(stores: Stores, actor: Actor, checkout: NewCheckout) -> CheckoutRow:
    async with stores.postgres.acting(Access(organization_id=checkout.organization_id)) as connection:
        row = await create_checkout(connection, checkout)
        await record(
            connection,
            organization_id=checkout.organization_id,
            author=actor.author,
            action="checkout.start",
            target=("checkout", row.id),
            after={**checkout_as_json(row), "url": None},
        )
    return row


@router.get("/{id}", summary="Show a checkout", response_model=CheckoutBody, responses=errors(400, 404))
async def show(
    id: Annotated[UUID, Path(description="The checkout's id.")],
    actor: Annotated[Actor, allowed("subscriptions:read")],
    stores: OpenStores,
) -> Response:
    """Show what became of a checkout. Of an open one Stripe is asked: customers come back before its events do."""
    row = await _visible(stores, actor, str(id))
    if row.status == "open" and row.stripe_session_id is not None and stores.mirror is not None:
        # Reading works without Stripe: then the answer is what Postgres knows.
        with suppress(Unavailable, RateLimited):
            await follow_checkout(stores, actor, row.stripe_session_id, organization_id=row.organization_id)
            row = await _visible(stores, actor, row.id)
    return json_answer(checkout_as_json(row))


async def _visible(stores: Stores, actor: Actor, checkout_id: str) -> CheckoutRow:
    async with stores.postgres.acting(actor.access) as connection:
        return await find_checkout(connection, checkout_id)


def _require_offered(purchase: Purchase, wanted: int | None) -> None:
    offered = purchase.plan.trial_days
    if wanted is not None and wanted > offered:
        raise BusinessLogicError(
            f"The plan {purchase.row.slug} has a trial of {offered} days: ask for at most that, or leave it out.",
            code="TRIAL_TOO_LONG",
            field="trial_days",
            most=offered,
        )


def _session_params(
    body: StartCheckout,
    purchase: Purchase,
    *,
    customer: str,
    checkout_id: str,
    trial_days: int,
    discount: DiscountCodeRow | None,
) -> Any:
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer,
        "currency": purchase.currency,
        "line_items": [
            {"price": item.price, **({} if item.quantity is None else {"quantity": item.quantity})}
            for item in wanted_items(purchase.row, purchase.bought)
        ],
        "success_url": body.success_url,
        "client_reference_id": checkout_id,
        "metadata": {CHECKOUT_KEY: checkout_id},
        "subscription_data": {"metadata": {PLAN_KEY: purchase.row.id}},
    }
    if body.cancel_url is not None:
        params["cancel_url"] = body.cancel_url
    if trial_days:
        params["subscription_data"]["trial_period_days"] = trial_days
    if discount is not None:
        params["discounts"] = [{"promotion_code": discount.stripe_promotion_code_id}]
    if body.automatic_tax:
        params["automatic_tax"] = {"enabled": True}
        params["customer_update"] = {"address": "auto"}
    return params
