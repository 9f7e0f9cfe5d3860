"""Prices: immutable but for name, lookup key, metadata and whether they are sold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Unpack

import stripe
from stripe.params import PriceCreateParams, PriceListParams, PriceRetrieveParams, PriceUpdateParams

from sinks.stripe.calls import Calls, Json

_EXPAND: Final = ["tiers", "currency_options"]


class Prices:
    """Answers hold `tiers` and `currency_options`, which Stripe leaves out unless asked; an `expand` replaces these."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._prices = client.v1.prices
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[PriceCreateParams]) -> Json:
        """Create a price."""
        params = {"expand": _EXPAND, **params}
        return await self._calls.write(self._prices.create_async, key=key, params=params)

    async def get(self, price: str, /, **params: Unpack[PriceRetrieveParams]) -> Json:
        """Return a price. Raises: NotFoundError."""
        params = {"expand": _EXPAND, **params}
        return await self._calls.read(self._prices.retrieve_async, price, params=params)

    async def update(self, key: str, price: str, /, **params: Unpack[PriceUpdateParams]) -> Json:
        """Change what is named and leave the rest."""
        params = {"expand": _EXPAND, **params}
        return await self._calls.write(self._prices.update_async, price, key=key, params=params)

    async def archive(self, key: str, price: str) -> Json:
        """Sell it no more; subscriptions that have it keep it."""
        return await self.update(key, price, active=False)

    def each(self, **params: Unpack[PriceListParams]) -> AsyncIterator[Json]:
        """Yield prices, newest first; `lookup_keys` takes at most ten."""
        params = {"expand": [f"data.{field}" for field in _EXPAND], **params}
        return self._calls.each(self._prices.list_async, params=params)
