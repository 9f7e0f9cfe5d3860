"""Customers at Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import CustomerCreateParams, CustomerListParams, CustomerRetrieveParams, CustomerUpdateParams

from sinks.stripe.calls import Calls, Json


class Customers:
    """A customer is ours; Stripe's copy carries our key in its metadata."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._customers = client.v1.customers
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[CustomerCreateParams]) -> Json:
        """Create a customer."""
        return await self._calls.write(self._customers.create_async, key=key, params=params)

    async def get(self, customer: str, **params: Unpack[CustomerRetrieveParams]) -> Json:
        """Return a customer; one that was deleted is `{"id", "deleted": true}`. Raises: NotFoundError."""
        return await self._calls.read(self._customers.retrieve_async, customer, params=params)

    async def update(self, key: str, customer: str, /, **params: Unpack[CustomerUpdateParams]) -> Json:
        """Change what is named and leave the rest."""
        return await self._calls.write(self._customers.update_async, customer, key=key, params=params)

    async def delete(self, customer: str) -> Json:
        """Delete a customer, which cancels all subscriptions at once."""
        return await self._calls.remove(self._customers.delete_async, customer)

    def each(self, **params: Unpack[CustomerListParams]) -> AsyncIterator[Json]:
        """Yield customers, newest first."""
        return self._calls.each(self._customers.list_async, params=params)
