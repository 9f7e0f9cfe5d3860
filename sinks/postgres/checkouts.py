"""Checkouts: what a customer was sent to Stripe's page for. What became of it, the mirror writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from psycopg import AsyncConnection

from runtime.errors import NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_one

_SQL: Final = load("checkouts")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheckout:
    """A page that Stripe has opened."""

    id: str
    organization_id: str
    customer_id: str
    plan_id: str
    billing_cycle: str
    currency: str
    quantity: int
    discount_code_id: str | None
    stripe_session_id: str
    url: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CheckoutRow:
    """A checkout as stored."""

    id: str
    organization_id: str
    customer_id: str
    plan_id: str
    plan: str
    plan_version: int
    billing_cycle: str
    currency: str
    quantity: int
    discount_code_id: str | None
    stripe_session_id: str | None
    status: Literal["open", "complete", "expired"]
    url: str | None
    subscription_id: str | None
    subscription_status: str | None
    expires_at: datetime | None
    created_at: datetime
    completed_at: datetime | None


class Subscribed(NamedTuple):
    """A subscription that a customer has already."""

    id: str
    status: str
    plan: str


async def create_checkout(connection: AsyncConnection, checkout: NewCheckout) -> CheckoutRow:
    """Keep a checkout; one that the same request made before stays as it is."""
    with translated_errors():
        await connection.execute(_SQL["create"], asdict(checkout))
    return await find_checkout(connection, checkout.id)


async def find_checkout(connection: AsyncConnection, checkout_id: str) -> CheckoutRow:
    """Return a checkout. Raises: NotFoundError."""
    row = await fetch_one(connection, CheckoutRow, _SQL["find"], {"id": checkout_id})
    if row is None:
        raise NotFoundError(f"No checkout {checkout_id}.", code="CHECKOUT_NOT_FOUND")
    return row


async def subscription_of_product(
    connection: AsyncConnection, *, customer_id: str, stripe_product_id: str
) -> Subscribed | None:
    """Return the subscription to a product that a customer has and that has not ended."""
    values = {"customer_id": customer_id, "stripe_product_id": stripe_product_id}
    with translated_errors():
        cursor = await connection.execute(_SQL["subscription_of_product"], values)
        row = await cursor.fetchone()
    return Subscribed(*row) if row else None


async def open_sessions(
    connection: AsyncConnection, *, customer_id: str, stripe_product_id: str, except_id: str | None
) -> Sequence[str]:
    """Return Stripe's sessions on which a customer could still pay for a product, but for one checkout's."""
    values = {"customer_id": customer_id, "stripe_product_id": stripe_product_id, "id": except_id}
    with translated_errors():
        cursor = await connection.execute(_SQL["open_sessions"], values)
        return [row[0] for row in await cursor.fetchall()]
