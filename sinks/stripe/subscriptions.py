"""Subscriptions: begun, changed, paused, cancelled, and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final, Literal, TypeAlias, Unpack

import stripe
from stripe.params import (
    SubscriptionCancelParams,
    SubscriptionCreateParams,
    SubscriptionItemListParams,
    SubscriptionListParams,
    SubscriptionResumeParams,
    SubscriptionRetrieveParams,
    SubscriptionUpdateParams,
    SubscriptionUpdateParamsItem,
    SubscriptionUpdateParamsPauseCollection,
)

from runtime.errors import NotFoundError
from sinks.stripe.calls import Calls, Json

Proration: TypeAlias = Literal["create_prorations", "always_invoice", "none"]
PaymentBehavior: TypeAlias = Literal[
    "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"
]
_ENDED: Final = ("canceled", "incomplete_expired")


class Subscriptions:
    """Periods live on the items; Stripe decides states, and every answer holds the newest."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._subscriptions = client.v1.subscriptions
        self._items = client.v1.subscription_items
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[SubscriptionCreateParams]) -> Json:
        """Begin a subscription. Raises: PaymentFailed with `payment_behavior="error_if_incomplete"`."""
        return await self._calls.write(self._subscriptions.create_async, key=key, params=params)

    async def get(self, subscription: str, **params: Unpack[SubscriptionRetrieveParams]) -> Json:
        """Return a subscription with all of its items, of which Stripe shows ten by itself. Raises: NotFoundError.

        A change between the two answers has an event of its own, and so another look.
        """
        found = await self._calls.read(self._subscriptions.retrieve_async, subscription, params=params)
        if found["items"]["has_more"]:
            expand = [each.removeprefix("items.") for each in params.get("expand", ()) if each.startswith("items.")]
            asked: SubscriptionItemListParams = {"subscription": subscription, "expand": expand}
            listed = self._calls.each(self._items.list_async, params=asked)
            found["items"] = {**found["items"], "data": [item async for item in listed], "has_more": False}
        return found

    def each(self, **params: Unpack[SubscriptionListParams]) -> AsyncIterator[Json]:
        """Yield subscriptions, newest first; cancelled ones only with `status="all"`."""
        return self._calls.each(self._subscriptions.list_async, params=params)

    async def update(self, key: str, subscription: str, /, **params: Unpack[SubscriptionUpdateParams]) -> Json:
        """Change what is named and leave the rest."""
        return await self._calls.write(self._subscriptions.update_async, subscription, key=key, params=params)

    async def change_items(
        self,
        key: str,
        subscription: str,
        items: list[SubscriptionUpdateParamsItem],
        *,
        proration: Proration = "create_prorations",
        proration_at: datetime | None = None,
        payment_behavior: PaymentBehavior = "allow_incomplete",
    ) -> Json:
        """Change prices or quantities: an item with an `id` is changed (or `deleted`), one without is added.

        `proration_at` is the instant of a preview, so that the customer pays what was shown.
        """
        params: SubscriptionUpdateParams = {
            "items": items,
            "proration_behavior": proration,
            "payment_behavior": payment_behavior,
        }
        if proration_at is not None:
            params["proration_date"] = int(proration_at.timestamp())
        return await self.update(key, subscription, **params)

    async def cancel_at_period_end(self, key: str, subscription: str) -> Json:
        """Let it run to the end of what is paid, and no further."""
        return await self.update(key, subscription, cancel_at_period_end=True)

    async def reactivate(self, key: str, subscription: str) -> Json:
        """Take back a cancellation at the period's end; one that has ended stays ended."""
        return await self.update(key, subscription, cancel_at_period_end=False)

    async def cancel_now(self, subscription: str, /, **params: Unpack[SubscriptionCancelParams]) -> Json:
        """End it at once. Done already counts as done. Raises: NotFoundError if there never was one.

        `invoice_now` bills usage and prorations that no invoice has yet; `prorate` gives unused time back.
        """
        try:
            return await self._calls.delete(self._subscriptions.cancel_async, subscription, params=params)
        except NotFoundError:
            # Stripe does not find what is cancelled already, perhaps by a try of ours whose answer was lost.
            found = await self.get(subscription)
            if found["status"] not in _ENDED:
                raise
            return found

    async def pause(
        self,
        key: str,
        subscription: str,
        *,
        behavior: Literal["keep_as_draft", "mark_uncollectible", "void"] = "void",
        until: datetime | None = None,
    ) -> Json:
        """Collect nothing for a while; the status stays as it is."""
        pause: SubscriptionUpdateParamsPauseCollection = {"behavior": behavior}
        if until is not None:
            pause["resumes_at"] = int(until.timestamp())
        return await self.update(key, subscription, pause_collection=pause)

    async def resume(self, key: str, subscription: str) -> Json:
        """Collect again."""
        return await self.update(key, subscription, pause_collection="")

    async def unpause(self, key: str, subscription: str, /, **params: Unpack[SubscriptionResumeParams]) -> Json:
        """Let one whose status is `paused` run again; its period is billed at once."""
        return await self._calls.write(self._subscriptions.resume_async, subscription, key=key, params=params)

    async def set_trial_end(self, key: str, subscription: str, at: datetime | Literal["now"]) -> Json:
        """Move the end of the trial; `now` ends it and charges."""
        return await self.update(key, subscription, trial_end="now" if at == "now" else int(at.timestamp()))
