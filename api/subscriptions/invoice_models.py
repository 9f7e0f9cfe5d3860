"""Invoices in requests and answers. Amounts are minor units of the currency."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.http.request_body import SentBody
from billing.stripe_objects import InvoiceFacts, InvoiceLineFacts
from metering.numbers import canonical_text
from sinks.postgres.invoices import InvoiceRow, LineRow

InvoiceStatus = Literal["draft", "open", "paid", "uncollectible", "void"]


class PayInvoice(SentBody):
    """What to pay with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}})

    payment_method_id: UUID | None = Field(
        default=None, description="Of the customer's payment methods; the default one, if missing."
    )


class Amounts(BaseModel):
    """What an invoice comes to: total = subtotal - discount + those taxes that prices do not include.

    Taxes that prices include are part of the subtotal, and of `tax_minor`.
    """

    currency: str = Field(examples=["usd"])
    subtotal_minor: int
    discount_minor: int
    tax_minor: int = Field(description="All taxes, be they included in prices or added to them.")
    total_minor: int = Field(description="Negative: credit.")
    amount_due_minor: int


class InvoiceBody(Amounts):
    """An invoice as Stripe told it last."""

    id: str
    customer_id: str
    subscription_id: str | None
    number: str | None
    status: InvoiceStatus
    billing_reason: str | None = Field(examples=["subscription_cycle"])
    amount_paid_minor: int
    amount_remaining_minor: int
    amount_refunded_minor: int = Field(description="Of what was paid; the status stays `paid`.")
    dispute_status: str | None = Field(
        description="Of the newest dispute of a payment, as Stripe calls it: `needs_response`, `under_review`, `won`,"
        " `lost`, …; null: nobody disputes it.",
        examples=["needs_response"],
    )
    period_start: datetime | None
    period_end: datetime | None
    due_at: datetime | None
    finalized_at: datetime | None
    paid_at: datetime | None
    attempt_count: int
    next_payment_attempt: datetime | None
    hosted_invoice_url: str | None = Field(description="Stripe's page to pay on; the link works for some weeks.")
    stripe_invoice_id: str
    created_at: datetime
    updated_at: datetime


class LineBody(BaseModel):
    """A line of an invoice."""

    id: str = Field(description="Stripe's.")
    description: str | None
    amount_minor: int = Field(description="Before discounts; negative: credit.")
    discount_minor: int
    quantity: str | None = Field(description="A decimal.", examples=["5"])
    proration: bool
    stripe_price_id: str | None
    period_start: datetime
    period_end: datetime


class PreviewBody(Amounts):
    """An invoice that Stripe would make."""

    billed_at: datetime = Field(description="When it would be made: now, or with the period's end.")
    proration_at: datetime | None = Field(
        description="From when on is prorated: pass it to PATCH within the hour, and this is what is billed."
    )
    starting_balance_minor: int = Field(description="The customer's; negative is credit.")
    ending_balance_minor: int | None
    lines: list[LineBody]
    has_more_lines: bool = Field(description="Stripe shows the first lines only; the amounts are of all.")


class PdfLink(BaseModel):
    """Where the PDF is."""

    url: str = Field(description="Stripe's link; it works without a credential, for some weeks.")


def invoice_as_json(row: InvoiceRow) -> dict[str, Any]:
    """Return an invoice as clients see it."""
    return {name: getattr(row, name) for name in InvoiceBody.model_fields}


def line_as_json(line: LineRow | InvoiceLineFacts) -> dict[str, Any]:
    """Return a line as clients see it."""
    quantity = None if line.quantity is None else canonical_text(line.quantity)
    names = [name for name in LineBody.model_fields if name not in ("id", "quantity")]
    return {"id": line.stripe_line_id, "quantity": quantity, **{name: getattr(line, name) for name in names}}


def preview_as_json(facts: InvoiceFacts, sent: dict[str, Any]) -> dict[str, Any]:
    """Return a preview as clients see it; `sent` is Stripe's answer, `facts` are read from it."""
    prorated = [line.period_start for line in facts.lines if line.proration]
    return {
        **{name: getattr(facts, name) for name in Amounts.model_fields},
        "billed_at": facts.created_at,
        "proration_at": max(prorated, default=None),
        "starting_balance_minor": sent.get("starting_balance") or 0,
        "ending_balance_minor": sent.get("ending_balance"),
        "lines": [line_as_json(line) for line in facts.lines],
        "has_more_lines": sent["lines"]["has_more"],
    }
