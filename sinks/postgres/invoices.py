"""Invoices and their lines as the API reads them. What Stripe decides, `mirror` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from psycopg import AsyncConnection

from runtime.errors import NotFoundError
from sinks.postgres.listing import NEWEST, Listing
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL: Final = load("invoices")


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice as last applied; amounts are minor units."""

    id: str
    organization_id: str
    customer_id: str
    subscription_id: str | None
    stripe_subscription_id: str | None
    stripe_invoice_id: str
    number: str | None
    status: str
    billing_reason: str | None
    currency: str
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    amount_due_minor: int
    amount_paid_minor: int
    amount_remaining_minor: int
    period_start: datetime | None
    period_end: datetime | None
    due_at: datetime | None
    finalized_at: datetime | None
    paid_at: datetime | None
    attempt_count: int
    next_payment_attempt: datetime | None
    hosted_invoice_url: str | None
    invoice_pdf_url: str | None
    amount_refunded_minor: int
    dispute_status: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of an invoice."""

    stripe_line_id: str
    position: int
    description: str | None
    amount_minor: int
    discount_minor: int
    quantity: Decimal | None
    proration: bool
    stripe_price_id: str | None
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFilters:
    """What a list is narrowed by."""

    organization_id: str | None = None
    customers: Sequence[str] | None = None
    subscription_id: str | None = None
    status: Sequence[str] | None = None


async def find_invoice(connection: AsyncConnection, invoice_id: str) -> InvoiceRow:
    """Return an invoice. Raises: NotFoundError."""
    row = await fetch_one(connection, InvoiceRow, _SQL["find"], {"id": invoice_id})
    if row is None:
        raise NotFoundError(f"No invoice {invoice_id}.", code="INVOICE_NOT_FOUND")
    return row


async def list_invoices(
    connection: AsyncConnection,
    filters: InvoiceFilters,
    listing: Listing = NEWEST,
) -> list[InvoiceRow]:
    """Return a page of invoices."""
    values = {
        "organization_id": filters.organization_id,
        "customers": None if filters.customers is None else list(filters.customers),
        "subscription_id": filters.subscription_id,
        "status": None if filters.status is None else list(filters.status),
        **listing.values(),
    }
    # Never prepared: a plan for any filters would use the index of none.
    return await fetch_all(connection, InvoiceRow, _SQL[listing.statement], values, prepare=False)


async def list_lines(
    connection: AsyncConnection, invoice_id: str, *, after: int = -1, limit: int = 100
) -> list[LineRow]:
    """Return the lines of an invoice in Stripe's order, those after a position."""
    return await fetch_all(
        connection, LineRow, _SQL["lines"], {"invoice_id": invoice_id, "after": after, "limit": limit}
    )
