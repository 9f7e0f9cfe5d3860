"""`/customers`: whom an organization bills. Stripe keeps names and addresses, and Postgres follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.access.memberships import require_own
from api.catalogue.plans import organization_asked_for
from api.customers.customer_lookup import (
    NewCustomer,
    living_customer,
    register,
    register_user,
    stripe_customer_of,
    visible_customer,
)
from api.customers.customer_models import ChangeCustomer, CreateCustomer, CustomerBody, customer_as_json
from api.customers.tax_ids import replaced_tax_ids
from api.http.documentation import PREFIX, errors
from api.http.paging import Listed, Page
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.request_keys import new_id, stripe_key
from runtime.errors import InsufficientPermissions
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.customers import (
    CustomerFilters,
    CustomerRow,
    change_customer,
    customers_of_user,
    delete_customer,
    find_customer,
    list_customers,
    require_free_subjects,
    running_subscriptions,
    user_has_customer,
)
from sinks.stripe.client import StripeGateway

router = APIRouter(prefix=f"{PREFIX}/customers", tags=["customers"], route_class=ExactRoute)

_AT_STRIPE: Final = ("name", "email", "address")
_OURS: Final = ("user_id", "subjects", "metadata")

CustomerId = Annotated[UUID, Path(description="The customer's id.", examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])]
Reader = Annotated[Actor, allowed("customers:read")]
Writer = Annotated[Actor, allowed("customers:write")]
FilterText = Annotated[str | None, Query(min_length=1, max_length=320, pattern="^[^\\x00]*$")]


@router.get("", summary="List customers", response_model=Page[CustomerBody], responses=errors(400))
async def list_all(
    actor: Reader,
    stores: OpenStores,
    *,
    email: FilterText = None,
    user_id: FilterText = None,
    subject: FilterText = None,
    deleted: Annotated[bool, Query(description="Deleted ones too.")] = False,
    listed: Listed,
) -> Response:
    """List customers by creation. End users see the customers that they are."""
    filters = CustomerFilters(
        organization_id=actor.organization_id, email=email, user_id=user_id, subject=subject, deleted=deleted
    )
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_customers(connection, filters, listed.listing)
    return json_answer(listed.page(rows, show=customer_as_json))


@router.get("/{id}", summary="Show a customer", response_model=CustomerBody, responses=errors(400, 404))
async def show(
    id: CustomerId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Show a customer, deleted or not."""
    return json_answer(customer_as_json(await visible_customer(stores, actor, str(id))))


@router.post(
    "",
    status_code=201,
    summary="Create a customer",
    response_model=CustomerBody,
    responses=errors(400, 404, 409, 413, 422),
)
async def create(request: Request, body: CreateCustomer, actor: Writer, stores: OpenStores) -> Response:
    """Create a customer here and at Stripe. An end user becomes the customer of one.

    A tax id that is none of its type is refused with 422 TAX_ID_INVALID, a subject of another customer's with 409
    SUBJECT_TAKEN.
    """
    sent = body.model_dump(exclude_unset=True, exclude={"organization"})
    if actor.kind == "user":
        row = await _create_own(request, stores, actor, sent, body.organization)
        return json_answer(customer_as_json(row), status=201)
    require_own(actor, body.organization)
    organization_id, customer_id = actor.tenant.organization_id, new_id(request, actor, "customer")
    if body.user_id is not None:
        await _require_no_other(stores, actor.access, body.user_id, but=customer_id)
    row = await register(stores, actor, NewCustomer(id=customer_id, organization_id=organization_id, **sent))
    return json_answer(customer_as_json(row), status=201)


@router.patch(
    "/{id}", summary="Change a customer", response_model=CustomerBody, responses=errors(400, 404, 409, 413, 422)
)
async def change(
    request: Request,
    id: CustomerId,
    body: ChangeCustomer,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Change a customer: name, email, address and tax ids at Stripe, the rest here.

    A tax id that is none of its type is refused with 422 TAX_ID_INVALID, a subject of another customer's with 409
    SUBJECT_TAKEN.
    """
    sent = body.model_dump(exclude_unset=True)
    if actor.kind == "user":
        _refuse_ours(sent)
    before = await living_customer(stores, actor, str(id))
    access = Access(organization_id=before.organization_id)
    if sent.get("user_id") is not None:
        await _require_no_other(stores, access, sent["user_id"], but=before.id)
    if sent.get("subjects"):
        async with stores.postgres.acting(access) as connection:
            await require_free_subjects(
                connection, sent["subjects"], organization_id=before.organization_id, customer_id=before.id
            )
    if any(name in sent for name in (*_AT_STRIPE, "tax_ids")):
        stripe_id = await stripe_customer_of(stores, actor, before)
        await _change_at_stripe(stores.selling.stripe, stripe_id, sent, key=partial(stripe_key, request, actor))
        await stores.selling.mirror.look("customer", stripe_id, actor=actor.name, access=access)
    async with stores.postgres.acting(access) as connection:
        row = await change_customer(connection, before.id, {name: sent[name] for name in _OURS if name in sent})
        await _audit(connection, actor, "customer.change", before, row)
    return json_answer(customer_as_json(row))


@router.delete("/{id}", summary="Delete a customer", response_model=CustomerBody, responses=errors(400, 404))
async def delete(
    id: CustomerId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Delete a customer at Stripe, which cancels all subscriptions at once. What was billed stays."""
    before = await visible_customer(stores, actor, str(id))
    access = Access(organization_id=before.organization_id)
    if before.stripe_customer_id is not None and before.deleted_at is None:
        mirror = stores.selling.mirror
        await stores.selling.stripe.customers.delete(before.stripe_customer_id)
        async with stores.postgres.acting(access) as connection:
            canceled = await running_subscriptions(connection, before.id)
        for subscription in canceled:
            await mirror.look("subscription", subscription, actor=actor.name, reason="customer deleted", access=access)
        await mirror.look("customer", before.stripe_customer_id, actor=actor.name, access=access)
    if before.deleted_at is not None:
        return json_answer(customer_as_json(before))
    async with stores.postgres.acting(access) as connection:
        await delete_customer(connection, before.id)
        row = await find_customer(connection, before.id)
        await _audit(connection, actor, "customer.delete", before, row)
    return json_answer(customer_as_json(row))


async def _change_at_stripe(
    stripe: StripeGateway, stripe_id: str, sent: dict[str, Any], *, key: Callable[[str], str]
) -> None:
    theirs: dict[str, Any] = {name: sent[name] for name in _AT_STRIPE if name in sent}
    async with AsyncExitStack() as stack:
        if "tax_ids" in sent:
            await stack.enter_async_context(replaced_tax_ids(stripe, stripe_id, sent["tax_ids"], key=key))
        if theirs:
            await stripe.customers.update(key("customer.change"), stripe_id, **_cleared(theirs))


async def _create_own(
    request: Request, stores: Stores, actor: Actor, sent: dict[str, Any], organization: str | None
) -> CustomerRow:
    _refuse_ours(sent)
    organization_id = await organization_asked_for(request, stores, None, organization)
    async with stores.postgres.acting(actor.access) as connection:
        if await customers_of_user(connection, str(actor.user_id), organization_id=organization_id):
            raise user_has_customer(str(actor.user_id))
    return await register_user(stores, actor, organization_id=organization_id, **{"email": actor.email, **sent})


async def _require_no_other(stores: Stores, access: Access, user_id: str, *, but: str) -> None:
    """Refuse a user who is another customer of the organization, before Stripe is told anything."""
    async with stores.postgres.acting(access) as connection:
        known = await customers_of_user(connection, user_id, organization_id=access.organization_id)
    if any(row.id != but for row in known):
        raise user_has_customer(user_id)


def _refuse_ours(sent: dict[str, Any]) -> None:
    for name in _OURS:
        if name in sent:
            raise InsufficientPermissions(f"{name} is the organization's to say.", field=name)


def _cleared(values: Mapping[str, Any]) -> Any:
    """Return a change as Stripe takes it: an empty text takes away."""
    return {name: _cleared(value) if isinstance(value, Mapping) else value or "" for name, value in values.items()}


async def _audit(
    connection: AsyncConnection, actor: Actor, action: str, before: CustomerRow, after: CustomerRow
) -> None:
    await record(
        connection,
        organization_id=after.organization_id,
        author=actor.author,
        action=action,
        target=("customer", after.id),
        before=customer_as_json(before),
        after=customer_as_json(after),
    )
