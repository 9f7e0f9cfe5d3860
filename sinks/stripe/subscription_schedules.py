"""Schedules: changes of a subscription that are due later, such as a downgrade at the period's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import (
    SubscriptionScheduleCancelParams,
    SubscriptionScheduleCreateParams,
    SubscriptionScheduleListParams,
    SubscriptionScheduleUpdateParams,
)

from sinks.stripe.calls import Calls, Json


class SubscriptionSchedules:
    """A subscription has at most one, and while it has, changes go through it."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._schedules = client.v1.subscription_schedules
        self._calls = calls

    async def create_from(self, key: str, subscription: str) -> Json:
        """Put a subscription under a schedule whose one phase is what it has now."""
        params: SubscriptionScheduleCreateParams = {"from_subscription": subscription}
        return await self._calls.write(self._schedules.create_async, key=key, params=params)

    async def get(self, schedule: str) -> Json:
        """Return a schedule. Raises: NotFoundError."""
        return await self._calls.read(self._schedules.retrieve_async, schedule)

    async def update(self, key: str, schedule: str, /, **params: Unpack[SubscriptionScheduleUpdateParams]) -> Json:
        """Set the phases: the current one must be among them, with its start."""
        return await self._calls.write(self._schedules.update_async, schedule, key=key, params=params)

    async def release(self, key: str, schedule: str) -> Json:
        """Drop what is to come; the subscription goes on as it is."""
        return await self._calls.write(self._schedules.release_async, schedule, key=key)

    async def cancel(self, key: str, schedule: str, *, invoice_now: bool = False, prorate: bool = False) -> Json:
        """End the schedule and its subscription at once."""
        params: SubscriptionScheduleCancelParams = {"invoice_now": invoice_now, "prorate": prorate}
        return await self._calls.write(self._schedules.cancel_async, schedule, key=key, params=params)

    def each(self, **params: Unpack[SubscriptionScheduleListParams]) -> AsyncIterator[Json]:
        """Yield schedules, newest first."""
        return self._calls.each(self._schedules.list_async, params=params)
