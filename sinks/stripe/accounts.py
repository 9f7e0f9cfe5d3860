"""The account that the key opens."""

from __future__ import annotations

import stripe

from sinks.stripe.calls import Calls, Json


class Accounts:
    """Read only."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._accounts = client.v1.accounts
        self._calls = calls

    async def own(self) -> Json:
        """Return the key's own account. Raises: StripeAPIError for a restricted key that may not read it."""
        return await self._calls.read(self._accounts.retrieve_current_async)
