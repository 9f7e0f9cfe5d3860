"""Whom a request buys for: a customer of the caller's, who is made here and at Stripe where there is none yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from api.access.actor import Actor
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.stripe.request_keys import user_customer_id
from billing.stripe_objects import CUSTOMER_KEY, ORGANIZATION_KEY
from runtime.errors import InvalidInput, NotFoundError
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.customers import (
    CustomerRow,
    count_deleted,
    create_customer,
    customers_of_user,
    find_customer,
    require_free_subjects,
    user_has_customer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer:
    """A customer who is to be."""

    id: str
    organization_id: str
    user_id: str | None = None
    name: str | None = None
    email: str | None = None
    address: Mapping[str, Any] | None = None
    tax_ids: Sequence[Mapping[str, str]] = ()
    subjects: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


async def visible_customer(stores: Stores, actor: Actor, customer_id: str) -> CustomerRow:
    """Return a customer that the caller may see, deleted or not. Raises: NotFoundError."""
    async with stores.postgres.acting(actor.access) as connection:
        return await find_customer(connection, customer_id)


async def living_customer(stores: Stores, actor: Actor, customer_id: str) -> CustomerRow:
    """Return a customer that the caller may see and who was not deleted. Raises: NotFoundError."""
    row = await visible_customer(stores, actor, customer_id)
    if row.deleted_at is not None:
        raise NotFoundError(f"The customer {customer_id} was deleted.", code="CUSTOMER_NOT_FOUND")
    return row


async def named_customer(
    stores: Stores, actor: Actor, customer_id: str | None, *, organization_id: str | None = None
) -> CustomerRow:
    """Return the customer that a request is about: the one it names, else the end user themselves.

    `organization_id`: whose customer it must be. Raises: NotFoundError, InvalidInput where it is not clear which one.
    """
    if customer_id is not None:
        row = await living_customer(stores, actor, customer_id)
        if organization_id not in (None, row.organization_id):
            raise NotFoundError(f"No customer {customer_id} of this organization.", code="CUSTOMER_NOT_FOUND")
        return row
    if actor.kind != "user" or actor.user_id is None:
        raise InvalidInput("customer_id: is missing; name the customer", field="customer_id")
    async with stores.postgres.acting(actor.access) as connection:
        rows = await customers_of_user(connection, actor.user_id, organization_id=organization_id)
    if not rows:
        raise NotFoundError("You are no customer yet: a checkout makes you one.", code="CUSTOMER_NOT_FOUND")
    if len(rows) > 1:
        raise InvalidInput("customer_id: you are a customer of several; name one", field="customer_id")
    return rows[0]


async def buyer(stores: Stores, actor: Actor, customer_id: str | None, *, organization_id: str) -> CustomerRow:
    """Return whom a request buys for; an end user is made a customer of the organization with their first purchase."""
    try:
        return await named_customer(stores, actor, customer_id, organization_id=organization_id)
    except NotFoundError:
        if customer_id is not None or actor.user_id is None:
            raise
    return await register_user(stores, actor, organization_id=organization_id, email=actor.email)


async def register_user(
    stores: Stores, actor: Actor, *, organization_id: str, email: str | None, **personal: Any
) -> CustomerRow:
    """Make an end user a customer of an organization; requests at once make one."""
    user_id = str(actor.user_id)
    async with stores.postgres.acting(actor.access) as connection:
        deleted = await count_deleted(connection, user_id, organization_id=organization_id)
    new = NewCustomer(
        id=user_customer_id(organization_id, user_id, deleted=deleted),
        organization_id=organization_id,
        user_id=user_id,
        email=email,
        **personal,
    )
    return await register(stores, actor, new)


async def register(stores: Stores, actor: Actor, new: NewCustomer) -> CustomerRow:
    """Make a customer at Stripe, then here: without Stripe there is none. May be repeated.

    Raises: ConflictError where the user is another customer of the organization already, and SUBJECT_TAKEN;
    BusinessLogicError TAX_ID_INVALID.
    """
    access = Access(organization_id=new.organization_id)
    if new.subjects:
        async with stores.postgres.acting(access) as connection:
            await require_free_subjects(
                connection, new.subjects, organization_id=new.organization_id, customer_id=new.id
            )
    stripe_id = await _create_at_stripe(stores, new)
    async with stores.postgres.acting(access) as connection:
        ours = {name: value for name, value in asdict(new).items() if name != "tax_ids"}
        created = await create_customer(connection, **ours, stripe_customer_id=stripe_id)
        if created is not None:
            await record(
                connection,
                organization_id=new.organization_id,
                author=actor.author,
                action="customer.create",
                target=("customer", new.id),
                after=asdict(new),
            )
    if created is None:
        await _require_same(stores, access, new)
    await stores.selling.mirror.look("customer", stripe_id, actor=actor.name, access=access)
    async with stores.postgres.acting(access) as connection:
        return await find_customer(connection, new.id)


async def stripe_customer_of(stores: Stores, actor: Actor, row: CustomerRow) -> str:
    """Return whom Stripe knows a customer as; one who came here without Stripe is made there."""
    if row.stripe_customer_id is not None:
        return row.stripe_customer_id
    new = NewCustomer(
        id=row.id, organization_id=row.organization_id, name=row.name, email=row.email, address=row.address
    )
    stripe_id = await _create_at_stripe(stores, new)
    access = Access(organization_id=row.organization_id)
    await stores.selling.mirror.look("customer", stripe_id, actor=actor.name, access=access)
    return stripe_id


async def _create_at_stripe(stores: Stores, new: NewCustomer) -> str:
    personal: Any = {
        "name": new.name,
        "email": new.email,
        "address": _without_nulls(new.address or {}),
        "tax_id_data": list(new.tax_ids),
    }
    personal = _without_nulls(personal)
    # Stripe gives the same key one customer, and refuses it other parameters.
    said = hashlib.sha256(json.dumps(personal, sort_keys=True).encode()).hexdigest()[:16]
    with explained_refusals():
        created = await stores.selling.stripe.customers.create(
            f"customer:{new.id}:{said}",
            metadata={ORGANIZATION_KEY: new.organization_id, CUSTOMER_KEY: new.id},
            **personal,
        )
    return str(created["id"])


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


async def _require_same(stores: Stores, access: Access, new: NewCustomer) -> None:
    """Let pass where an earlier try made this very customer. Raises: ConflictError."""
    async with stores.postgres.acting(access) as connection:
        try:
            await find_customer(connection, new.id)
        except NotFoundError:
            raise user_has_customer(str(new.user_id)) from None
