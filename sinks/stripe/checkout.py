"""Checkout: Stripe's page where a customer subscribes or leaves a card."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params.checkout import SessionCreateParams, SessionListParams

from sinks.stripe.calls import Calls, Json


class Checkout:
    """A session is a page that works once and for at most 24 hours."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._sessions = client.v1.checkout.sessions
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[SessionCreateParams]) -> Json:
        """Create a session; its `url` is the page."""
        return await self._calls.write(self._sessions.create_async, key=key, params=params)

    async def get(self, session: str) -> Json:
        """Return a session. Raises: NotFoundError."""
        return await self._calls.read(self._sessions.retrieve_async, session)

    async def expire(self, key: str, session: str) -> Json:
        """Close the page of an open session."""
        return await self._calls.write(self._sessions.expire_async, session, key=key)

    def each(self, **params: Unpack[SessionListParams]) -> AsyncIterator[Json]:
        """Yield sessions, newest first."""
        return self._calls.each(self._sessions.list_async, params=params)
