"""Items of a subscription: one price each, with its quantity and period."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import (
    SubscriptionItemCreateParams,
    SubscriptionItemDeleteParams,
    SubscriptionItemListParams,
    SubscriptionItemUpdateParams,
)

from sinks.stripe.calls import Calls, Json


class SubscriptionItems:
    """For changes of several items at once see `Subscriptions.change_items`."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._items = client.v1.subscription_items
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[SubscriptionItemCreateParams]) -> Json:
        """Add a price to a subscription."""
        return await self._calls.write(self._items.create_async, key=key, params=params)

    async def get(self, item: str) -> Json:
        """Return an item. Raises: NotFoundError."""
        return await self._calls.read(self._items.retrieve_async, item)

    async def update(self, key: str, item: str, /, **params: Unpack[SubscriptionItemUpdateParams]) -> Json:
        """Change an item's price or quantity."""
        return await self._calls.write(self._items.update_async, item, key=key, params=params)

    async def delete(self, item: str, **params: Unpack[SubscriptionItemDeleteParams]) -> Json:
        """Take a price from its subscription; the last one cannot go."""
        return await self._calls.remove(self._items.delete_async, item, params=params)

    def each(self, **params: Unpack[SubscriptionItemListParams]) -> AsyncIterator[Json]:
        """Yield the items of a subscription."""
        return self._calls.each(self._items.list_async, params=params)
