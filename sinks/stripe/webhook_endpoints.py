"""Where Stripe sends its events, set up once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import WebhookEndpointCreateParams

from sinks.stripe.calls import API_VERSION, Calls, Json


class WebhookEndpoints:
    """Events come in the API version of their endpoint, so ours is said."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._endpoints = client.v1.webhook_endpoints
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[WebhookEndpointCreateParams]) -> Json:
        """Create an endpoint; only this answer holds its `secret`, which must go to the settings and not to a log."""
        params = {"api_version": API_VERSION, **params}
        return await self._calls.write(self._endpoints.create_async, key=key, params=params)

    def each(self) -> AsyncIterator[Json]:
        """Yield endpoints, newest first."""
        return self._calls.each(self._endpoints.list_async)

    async def delete(self, endpoint: str) -> Json:
        """Send nothing there any more."""
        return await self._calls.remove(self._endpoints.delete_async, endpoint)
