"""Payment methods as the mirror wrote them: brand, last four digits, expiry; never a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from runtime.errors import NotFoundError
from sinks.postgres.listing import NEWEST, Listing
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL: Final = load("payment_methods")


@dataclass(frozen=True, slots=True)
class PaymentMethodRow:
    """A payment method as stored, and whom Stripe knows its customer as."""

    id: str
    organization_id: str
    customer_id: str
    stripe_payment_method_id: str
    kind: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    created_at: datetime
    detached_at: datetime | None
    stripe_customer_id: str | None


async def list_payment_methods(
    connection: AsyncConnection,
    *,
    organization_id: str | None = None,
    customer_id: str | None = None,
    listing: Listing = NEWEST,
) -> list[PaymentMethodRow]:
    """Return a page of what can be paid with."""
    values = {"organization_id": organization_id, "customer_id": customer_id, **listing.values()}
    # Never prepared: a plan for any filters would use the index of none.
    return await fetch_all(connection, PaymentMethodRow, _SQL[listing.statement], values, prepare=False)


async def find_payment_method(connection: AsyncConnection, payment_method_id: str) -> PaymentMethodRow:
    """Return a payment method, detached or not. Raises: NotFoundError."""
    row = await _one(connection, "find", {"id": payment_method_id})
    if row is None:
        raise NotFoundError(f"No payment method {payment_method_id}.", code="PAYMENT_METHOD_NOT_FOUND")
    return row


async def find_by_stripe_id(connection: AsyncConnection, stripe_payment_method_id: str) -> PaymentMethodRow | None:
    """Return the payment method that Stripe knows as this."""
    return await _one(connection, "find_by_stripe_id", {"stripe_payment_method_id": stripe_payment_method_id})


async def _one(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> PaymentMethodRow | None:
    return await fetch_one(connection, PaymentMethodRow, _SQL[statement], values)
