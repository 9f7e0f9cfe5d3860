"""Stripe's own list of what happened: where we find what its webhooks could not bring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Unpack

import stripe
from stripe.params import EventListParams

from sinks.stripe.calls import Calls, Json


class Events:
    """Stripe keeps them for 30 days."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._events = client.v1.events
        self._thin_events = client.v2.core.events
        self._calls = calls

    async def get(self, event: str) -> Json:
        """Return an event, with its object as it was then. Raises: NotFoundError."""
        return await self._calls.read(self._events.retrieve_async, event)

    async def get_thin(self, event: str) -> Json:
        """Return a thin event with its `data`, such as the report on meter events that Stripe could not use."""
        return await self._calls.read(self._thin_events.retrieve_async, event)

    def each(self, **params: Unpack[EventListParams]) -> AsyncIterator[Json]:
        """Yield events, newest first."""
        return self._calls.each(self._events.list_async, params=params)

    def undelivered(self, *, since: datetime) -> AsyncIterator[Json]:
        """Yield events that some webhook endpoint has not taken yet, newest first."""
        return self.each(delivery_success=False, created={"gte": int(since.timestamp())})
