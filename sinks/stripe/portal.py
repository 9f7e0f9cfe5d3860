"""The customer portal: Stripe's pages where customers see invoices and change cards and plans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params.billing_portal import (
    ConfigurationCreateParams,
    ConfigurationListParams,
    ConfigurationUpdateParams,
    SessionCreateParams,
)

from sinks.stripe.calls import Calls, Json


class Portal:
    """A configuration says what the pages offer; a session is a link for one customer."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._sessions = client.v1.billing_portal.sessions
        self._configurations = client.v1.billing_portal.configurations
        self._calls = calls

    async def create_session(self, key: str, /, **params: Unpack[SessionCreateParams]) -> Json:
        """Create a link for a customer, who is signed in by it: hand `url` to nobody else."""
        return await self._calls.write(self._sessions.create_async, key=key, params=params)

    async def create_configuration(self, key: str, /, **params: Unpack[ConfigurationCreateParams]) -> Json:
        """Create a configuration."""
        return await self._calls.write(self._configurations.create_async, key=key, params=params)

    async def get_configuration(self, configuration: str) -> Json:
        """Return a configuration. Raises: NotFoundError."""
        return await self._calls.read(self._configurations.retrieve_async, configuration)

    async def update_configuration(
        self, key: str, configuration: str, /, **params: Unpack[ConfigurationUpdateParams]
    ) -> Json:
        """Change what is named and leave the rest."""
        return await self._calls.write(self._configurations.update_async, configuration, key=key, params=params)

    def each_configuration(self, **params: Unpack[ConfigurationListParams]) -> AsyncIterator[Json]:
        """Yield configurations, newest first."""
        return self._calls.each(self._configurations.list_async, params=params)
