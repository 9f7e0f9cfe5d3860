"""Invoices: read, previewed, and brought to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack
from uuid import uuid4

import stripe
from stripe.params import (
    InvoiceCreatePreviewParams,
    InvoiceListParams,
    InvoicePaymentListParams,
    InvoicePayParams,
    InvoiceRetrieveParams,
)

from sinks.stripe.calls import Calls, Json


class Invoices:
    """draft → open → paid, void or uncollectible; Stripe makes them, we only hasten or end them."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._invoices = client.v1.invoices
        self._payments = client.v1.invoice_payments
        self._calls = calls

    async def get(self, invoice: str, **params: Unpack[InvoiceRetrieveParams]) -> Json:
        """Return an invoice with its first lines. Raises: NotFoundError."""
        return await self._calls.read(self._invoices.retrieve_async, invoice, params=params)

    def each(self, **params: Unpack[InvoiceListParams]) -> AsyncIterator[Json]:
        """Yield invoices, newest first."""
        return self._calls.each(self._invoices.list_async, params=params)

    def lines(self, invoice: str) -> AsyncIterator[Json]:
        """Yield all lines of an invoice; the invoice itself holds the first ten only."""
        return self._calls.each(self._invoices.line_items.list_async, invoice)

    def payments(self, invoice: str) -> AsyncIterator[Json]:
        """Yield what was paid, or tried, on an invoice."""
        params: InvoicePaymentListParams = {"invoice": invoice}
        return self._calls.each(self._payments.list_async, params=params)

    def paid_by(self, payment_intent: str) -> AsyncIterator[Json]:
        """Yield what a payment was for: as a rule one payment of one invoice."""
        params: InvoicePaymentListParams = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}}
        return self._calls.each(self._payments.list_async, params=params)

    async def preview(self, **params: Unpack[InvoiceCreatePreviewParams]) -> Json:
        """Return the invoice that a change would make; nothing is changed."""
        # A POST with no effect: a key that names the intent would give yesterday's answer.
        return await self._calls.write(self._invoices.create_preview_async, key=f"preview:{uuid4()}", params=params)

    async def finalize(self, key: str, invoice: str) -> Json:
        """Make a draft final, so that it can be paid."""
        return await self._calls.write(self._invoices.finalize_invoice_async, invoice, key=key)

    async def pay(self, key: str, invoice: str, *, payment_method: str | None = None) -> Json:
        """Try to collect now, from the default method unless another is named. Raises: PaymentFailed."""
        params: InvoicePayParams = {} if payment_method is None else {"payment_method": payment_method}
        return await self._calls.write(self._invoices.pay_async, invoice, key=key, params=params)

    async def void(self, key: str, invoice: str) -> Json:
        """Declare an open invoice never owed."""
        return await self._calls.write(self._invoices.void_invoice_async, invoice, key=key)

    async def mark_uncollectible(self, key: str, invoice: str) -> Json:
        """Give an open invoice up as bad debt."""
        return await self._calls.write(self._invoices.mark_uncollectible_async, invoice, key=key)
