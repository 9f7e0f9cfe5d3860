"""Tax ids of customers, which Stripe prints on invoices and asks authorities about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import stripe

from sinks.stripe.calls import Calls, Json


class TaxIds:
    """A tax id is added and taken away, never changed."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._tax_ids = client.v1.customers.tax_ids
        self._calls = calls

    async def create(self, key: str, customer: str, *, type: str, value: str) -> Json:  # noqa: A002 - Stripe's name
        """Add a tax id to a customer. Raises: InvalidInput where Stripe knows no such type, or the value is none."""
        params: Any = {"type": type, "value": value}
        return await self._calls.write(self._tax_ids.create_async, customer, key=key, params=params)

    def each(self, customer: str) -> AsyncIterator[Json]:
        """Yield a customer's tax ids, newest first."""
        return self._calls.each(self._tax_ids.list_async, customer)

    async def delete(self, customer: str, tax_id: str) -> Json:
        """Take a tax id from a customer; what is gone counts as deleted."""
        return await self._calls.remove(self._tax_ids.delete_async, customer, tax_id)
