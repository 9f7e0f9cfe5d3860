"""Products: what a plan is called at Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import ProductCreateParams, ProductListParams, ProductUpdateParams

from sinks.stripe.calls import Calls, Json


class Products:
    """A product has prices; it is archived, never deleted, once something was sold."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._products = client.v1.products
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[ProductCreateParams]) -> Json:
        """Create a product. Raises: ConflictError if its `id` is taken."""
        return await self._calls.write(self._products.create_async, key=key, params=params)

    async def get(self, product: str) -> Json:
        """Return a product. Raises: NotFoundError."""
        return await self._calls.read(self._products.retrieve_async, product)

    async def update(self, key: str, product: str, /, **params: Unpack[ProductUpdateParams]) -> Json:
        """Change what is named and leave the rest."""
        return await self._calls.write(self._products.update_async, product, key=key, params=params)

    async def archive(self, key: str, product: str) -> Json:
        """Sell it no more; what was sold goes on."""
        return await self.update(key, product, active=False)

    def each(self, **params: Unpack[ProductListParams]) -> AsyncIterator[Json]:
        """Yield products, newest first."""
        return self._calls.each(self._products.list_async, params=params)
