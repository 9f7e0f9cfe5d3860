"""`/payment-methods`: what customers pay with. Card numbers never come here: Stripe's page or form takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.customers.customer_lookup import named_customer, stripe_customer_of
from api.http.documentation import PREFIX, errors
from api.http.paging import Listed, Page
from api.http.request_body import SentBody
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.stripe.request_keys import stripe_key
from runtime.errors import NotFoundError
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.payment_methods import (
    PaymentMethodRow,
    find_by_stripe_id,
    find_payment_method,
    list_payment_methods,
)
from sinks.stripe.client import StripeGateway

router = APIRouter(prefix=f"{PREFIX}/payment-methods", tags=["payment-methods"], route_class=ExactRoute)

MethodId = Annotated[UUID, Path(description="The payment method's id.")]
Reader = Annotated[Actor, allowed("payment_methods:read")]
Writer = Annotated[Actor, allowed("payment_methods:write")]


class AddPaymentMethod(SentBody):
    """Whose, and what where Stripe has it already."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"payment_method": "pm_card_visa"}})

    customer_id: UUID | None = Field(default=None, description="Only end users who are one customer may leave it out.")
    payment_method: str | None = Field(
        default=None,
        pattern="^pm_[A-Za-z0-9_]{1,250}$",
        description="One that Stripe's form has made, or in test mode a test card such as pm_card_visa. Left out: the"
        " answer holds the secret with which Stripe's form adds one.",
    )
    default: bool = Field(
        default=False,
        description="Pay with it from now on; only with `payment_method`. A customer's first one is the default"
        " anyway.",
    )

    @model_validator(mode="after")
    def _default_of_something(self) -> Self:
        if self.default and self.payment_method is None:
            raise ValueError(
                "default needs payment_method: what Stripe's form adds is made the default afterwards, with"
                " POST /payment-methods/{id}/default"
            )
        return self


class PaymentMethodBody(BaseModel):
    """A payment method."""

    id: str = Field(examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
    customer_id: str
    stripe_payment_method_id: str = Field(examples=["pm_1MqLiJLkdIwHu7ixUEgbFdYF"])
    kind: str = Field(examples=["card"])
    brand: str | None = Field(examples=["visa"])
    last4: str | None = Field(examples=["4242"])
    exp_month: int | None = Field(examples=[8])
    exp_year: int | None = Field(examples=[2030])
    is_default: bool
    created_at: datetime
    detached_at: datetime | None


class AddedPaymentMethod(BaseModel):
    """What was added, or what Stripe's form needs to add one."""

    setup_intent_id: str | None = Field(examples=["seti_1Mm8s8LkdIwHu7ix0OXBfTRG"])
    client_secret: str | None = Field(description="For Stripe's form alone; hand it to nobody else.")
    payment_method: PaymentMethodBody | None


@router.get("", summary="List payment methods", response_model=Page[PaymentMethodBody], responses=errors(400))
async def list_all(
    actor: Reader,
    stores: OpenStores,
    *,
    customer_id: Annotated[UUID | None, Query(description="Of this customer only.")] = None,
    listed: Listed,
) -> Response:
    """List what can be paid with, by creation."""
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_payment_methods(
            connection,
            organization_id=actor.organization_id,
            customer_id=None if customer_id is None else str(customer_id),
            listing=listed.listing,
        )
    return json_answer(listed.page(rows, show=_as_json))


@router.get("/{id}", summary="Show a payment method", response_model=PaymentMethodBody, responses=errors(400, 404))
async def show(
    id: MethodId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Show a payment method, detached or not."""
    return json_answer(_as_json(await _visible(stores, actor, id)))


@router.post(
    "",
    status_code=201,
    summary="Add a payment method",
    response_model=AddedPaymentMethod,
    responses=errors(400, 404, 409, 413, 422),
)
async def add(request: Request, body: AddPaymentMethod, actor: Writer, stores: OpenStores) -> Response:
    """Begin to add a payment method by Stripe's form, or attach one, which becomes the default if there was none.

    A card that the bank refuses is PAYMENT_FAILED.
    """
    customer = await named_customer(stores, actor, None if body.customer_id is None else str(body.customer_id))
    stripe, stripe_customer = stores.selling.stripe, await stripe_customer_of(stores, actor, customer)
    if body.payment_method is None:
        key = stripe_key(request, actor, "payment_method.begin")
        intent = await stripe.payment_methods.start_adding(key, stripe_customer)
        begun = {"setup_intent_id": intent["id"], "client_secret": intent["client_secret"], "payment_method": None}
        return json_answer(begun, status=201)
    key = stripe_key(request, actor, "payment_method.attach")
    with explained_refusals():
        attached = await stripe.payment_methods.attach(key, body.payment_method, stripe_customer)
    if body.default or not await _pays_by_default(stripe, stripe_customer):
        await _charge(request, actor, stripe, attached["id"], stripe_customer)
    row = await _followed(stores, actor, attached["id"], customer.organization_id, stripe_customer)
    await _audit(stores, actor, "payment_method.attach", row)
    added = {"setup_intent_id": None, "client_secret": None, "payment_method": _as_json(row)}
    return json_answer(added, status=201)


@router.post(
    "/{id}/default",
    summary="Pay with it from now on",
    response_model=PaymentMethodBody,
    responses=errors(400, 404, 409, 413),
)
async def make_default(
    request: Request,
    id: MethodId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Charge this one for invoices from now on."""
    before = await _attached(stores, actor, id)
    stripe_customer = str(before.stripe_customer_id)
    await _charge(request, actor, stores.selling.stripe, before.stripe_payment_method_id, stripe_customer)
    row = await _followed(stores, actor, before.stripe_payment_method_id, before.organization_id, stripe_customer)
    await _audit(stores, actor, "payment_method.default", row, before=before)
    return json_answer(_as_json(row))


@router.delete(
    "/{id}", summary="Detach a payment method", response_model=PaymentMethodBody, responses=errors(400, 404, 409)
)
async def detach(
    request: Request,
    id: MethodId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Take a payment method from its customer, for good. A second time changes nothing."""
    before = await _visible(stores, actor, id)
    if before.detached_at is not None:
        return json_answer(_as_json(before))
    await stores.selling.stripe.payment_methods.detach(
        stripe_key(request, actor, "payment_method.detach"), before.stripe_payment_method_id
    )
    row = await _followed(
        stores, actor, before.stripe_payment_method_id, before.organization_id, str(before.stripe_customer_id)
    )
    await _audit(stores, actor, "payment_method.detach", row, before=before)
    return json_answer(_as_json(row))


async def _pays_by_default(stripe: StripeGateway, stripe_customer: str) -> bool:
    """Say whether a customer has something that invoices are charged to."""
    held = await stripe.customers.get(stripe_customer)
    return (held.get("invoice_settings") or {}).get("default_payment_method") is not None


async def _charge(request: Request, actor: Actor, stripe: StripeGateway, method: str, customer: str) -> None:
    """Charge a method for every invoice from now on.

    A subscription may have a default of its own, which goes before its customer's; one that was bought on Stripe's page
    has: the card that paid there (docs.stripe.com/api/subscriptions/object, `default_payment_method`).
    """
    key = stripe_key(request, actor, "payment_method.default")
    await stripe.payment_methods.set_default(key, method, customer)
    async for subscription in stripe.subscriptions.each(customer=customer):
        if subscription["default_payment_method"] not in (None, method):
            await stripe.subscriptions.update(
                f"{key}:{subscription['id']}", subscription["id"], default_payment_method=method
            )


async def _visible(stores: Stores, actor: Actor, method_id: UUID) -> PaymentMethodRow:
    async with stores.postgres.acting(actor.access) as connection:
        return await find_payment_method(connection, str(method_id))


async def _attached(stores: Stores, actor: Actor, method_id: UUID) -> PaymentMethodRow:
    row = await _visible(stores, actor, method_id)
    if row.detached_at is not None:
        raise NotFoundError(f"The payment method {row.id} was detached.", code="PAYMENT_METHOD_NOT_FOUND")
    return row


async def _followed(
    stores: Stores, actor: Actor, stripe_id: str, organization_id: str, stripe_customer: str
) -> PaymentMethodRow:
    """Let Postgres follow what was done at Stripe, and return what it says then."""
    access, mirror = Access(organization_id=organization_id), stores.selling.mirror
    await mirror.look("payment_method", stripe_id, actor=actor.name, access=access)
    await mirror.look("customer", stripe_customer, actor=actor.name, access=access)
    async with stores.postgres.acting(access) as connection:
        row = await find_by_stripe_id(connection, stripe_id)
    if row is None:
        raise NotFoundError("The payment method was taken away meanwhile.", code="PAYMENT_METHOD_NOT_FOUND")
    return row


async def _audit(
    stores: Stores, actor: Actor, action: str, row: PaymentMethodRow, *, before: PaymentMethodRow | None = None
) -> None:
    async with stores.postgres.acting(Access(organization_id=row.organization_id)) as connection:
        await record(
            connection,
            organization_id=row.organization_id,
            author=actor.author,
            action=action,
            target=("payment_method", row.id),
            before=None if before is None else _as_json(before),
            after=_as_json(row),
        )


def _as_json(row: PaymentMethodRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PaymentMethodBody.model_fields}
