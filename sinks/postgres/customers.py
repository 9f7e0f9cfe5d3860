"""Customers: whom an organization bills. Stripe decides name, email, address and balance; `mirror` writes these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from runtime.errors import ConflictError, DatabaseError, NotFoundError
from sinks.postgres.listing import NEWEST, Listing
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL: Final = load("customers")


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer as stored."""

    id: str
    organization_id: str
    user_id: str | None
    stripe_customer_id: str | None
    name: str | None
    email: str | None
    address: dict[str, Any] | None
    tax_ids: list[dict[str, Any]]
    currency: str | None
    subjects: list[str]
    metadata: dict[str, str]
    balance_minor: int
    delinquent: bool
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFilters:
    """What a list of customers is narrowed by."""

    organization_id: str | None = None
    email: str | None = None
    user_id: str | None = None
    subject: str | None = None
    deleted: bool = False


async def create_customer(
    connection: AsyncConnection,
    *,
    id: str,
    organization_id: str,
    stripe_customer_id: str,
    user_id: str | None = None,
    name: str | None = None,
    email: str | None = None,
    address: Mapping[str, Any] | None = None,
    subjects: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> CustomerRow | None:
    """Keep a customer that Stripe has. None: that id, or another customer of the user, is there already.

    Raises: ConflictError SUBJECT_TAKEN.
    """
    values = {
        "id": id,
        "organization_id": organization_id,
        "stripe_customer_id": stripe_customer_id,
        "user_id": user_id,
        "name": name,
        "email": email,
        "address": Jsonb(dict(address)) if address else None,
        "subjects": list(subjects),
        "metadata": Jsonb(dict(metadata or {})),
    }
    with _subjects_told():
        return await _one(connection, "create", values)


async def require_free_subjects(
    connection: AsyncConnection, subjects: Sequence[str], *, organization_id: str, customer_id: str
) -> None:
    """Let pass subjects that no other customer of the organization has. Raises: ConflictError SUBJECT_TAKEN."""
    values = {"subjects": list(subjects), "organization_id": organization_id, "customer_id": customer_id}
    with translated_errors():
        taken = await (await connection.execute(_SQL["taken_subject"], values)).fetchone()
    if taken is not None:
        raise _subject_taken(taken[0])


async def find_customer(connection: AsyncConnection, customer_id: str) -> CustomerRow:
    """Return a customer, deleted or not. Raises: NotFoundError."""
    row = await _one(connection, "find", {"id": customer_id})
    if row is None:
        raise NotFoundError(f"No customer {customer_id}.", code="CUSTOMER_NOT_FOUND")
    return row


async def customers_of_user(
    connection: AsyncConnection, user_id: str, *, organization_id: str | None = None, deleted: bool = False
) -> list[CustomerRow]:
    """Return the customers that an end user is, at most one per organization; `deleted`: and those that they were."""
    values = {"user_id": user_id, "organization_id": organization_id, "deleted": deleted}
    return await _all(connection, "of_user", values)


async def count_deleted(connection: AsyncConnection, user_id: str, *, organization_id: str) -> int:
    """Return how many customers of a user an organization deleted."""
    with translated_errors():
        values = {"user_id": user_id, "organization_id": organization_id}
        cursor = await connection.execute(_SQL["deleted_of_user"], values)
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def list_customers(
    connection: AsyncConnection,
    filters: CustomerFilters,
    listing: Listing = NEWEST,
) -> list[CustomerRow]:
    """Return a page of customers."""
    values = {
        "organization_id": filters.organization_id,
        "email": filters.email,
        "user_id": filters.user_id,
        "subject": filters.subject,
        "deleted": filters.deleted,
        **listing.values(),
    }
    # Never prepared: a plan for any filters would use the index of none.
    return await _all(connection, listing.statement, values, prepare=False)


async def change_customer(connection: AsyncConnection, customer_id: str, changes: Mapping[str, Any]) -> CustomerRow:
    """Change what is ours of a customer (`user_id`, `subjects`, `metadata`), and of that only what is named.

    Raises: NotFoundError for a deleted one, ConflictError for a user or a subject that is another customer's.
    """
    values = {
        "id": customer_id,
        "changed": list(changes),
        "user_id": changes.get("user_id"),
        "subjects": list(changes.get("subjects", ())),
        "metadata": Jsonb(dict(changes.get("metadata", {}))),
    }
    try:
        with _subjects_told():
            row = await _one(connection, "change", values)
    except DatabaseError as exc:
        if isinstance(exc.__cause__, UniqueViolation) and values["user_id"] is not None:
            raise user_has_customer(str(values["user_id"])) from exc
        raise
    if row is None:
        raise NotFoundError(f"No customer {customer_id}.", code="CUSTOMER_NOT_FOUND")
    return row


async def delete_customer(connection: AsyncConnection, customer_id: str) -> CustomerRow:
    """Mark a customer as deleted; a second time changes nothing that is shown. Raises: NotFoundError."""
    row = await _one(connection, "delete", {"id": customer_id})
    if row is None:
        raise NotFoundError(f"No customer {customer_id}.", code="CUSTOMER_NOT_FOUND")
    return row


async def running_subscriptions(connection: AsyncConnection, customer_id: str) -> list[str]:
    """Return Stripe's ids of a customer's subscriptions that have not ended."""
    with translated_errors():
        cursor = await connection.execute(_SQL["running_subscriptions"], {"customer_id": customer_id})
        return [row[0] for row in await cursor.fetchall()]


async def other_running_currency(connection: AsyncConnection, customer_id: str, currency: str) -> str | None:
    """Return another currency in which a customer has a subscription that has not ended, if there is one."""
    with translated_errors():
        values = {"customer_id": customer_id, "currency": currency}
        found = await (await connection.execute(_SQL["other_running_currency"], values)).fetchone()
    return None if found is None else str(found[0])


def user_has_customer(user_id: str) -> ConflictError:
    """Return what is said where a user would become two customers of one organization."""
    return ConflictError(
        f"The user {user_id} is a customer already: change that one, or delete it first.",
        code="CUSTOMER_EXISTS",
        field="user_id",
    )


@contextmanager
def _subjects_told() -> Iterator[None]:
    """Say which subject is another customer's, where the table of subjects refuses one."""
    try:
        yield
    except DatabaseError as exc:
        cause = exc.__cause__
        if isinstance(cause, UniqueViolation) and cause.diag.constraint_name == "customer_subjects_pkey":
            raise _subject_taken(str(cause.diag.message_detail)) from exc
        raise


def _subject_taken(subject: str) -> ConflictError:
    return ConflictError(
        f"The subject {subject!r} is another customer's already: usage under it can be billed to one customer only."
        " Take it from that one first (GET /customers?subject=…, PATCH), or use another.",
        code="SUBJECT_TAKEN",
        field="subjects",
        subject=subject,
    )


async def _one(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> CustomerRow | None:
    return await fetch_one(connection, CustomerRow, _SQL[statement], values)


async def _all(
    connection: AsyncConnection, statement: str, values: Mapping[str, Any], *, prepare: bool | None = None
) -> list[CustomerRow]:
    return await fetch_all(connection, CustomerRow, _SQL[statement], values, prepare=prepare)
