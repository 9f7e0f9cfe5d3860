"""Schedules: changes of a subscription that are due later, such as a downgrade at the period's end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Unpack

import stripe
from stripe.params import (
    SubscriptionScheduleCancelParams,
    SubscriptionScheduleCreateParams,
    SubscriptionScheduleListParams,
    SubscriptionScheduleReleaseParams,
    SubscriptionScheduleUpdateParams,
    SubscriptionScheduleUpdateParamsPhase,
    SubscriptionScheduleUpdateParamsPhaseItem,
)

from billing.periods import Cycle
from sinks.stripe.calls import Calls, Json
from sinks.stripe.item_changes import WantedItem

_COPIED: Final = (
    "application_fee_percent",
    "billing_thresholds",
    "collection_method",
    "default_payment_method",
    "description",
    "on_behalf_of",
)
"""What a phase takes in the form in which a subscription shows it."""
_INVOICE_SETTINGS: Final = ("account_tax_ids", "days_until_due")


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

    async def set_next(
        self,
        key: str,
        schedule: Json,
        subscription: Json,
        items: Sequence[WantedItem],
        cycle: Cycle,
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> Json:
        """Let a subscription have these items when its present phase ends, and go on with them.

        What else the subscription has now, such as its discounts, stays: a phase keeps nothing that it does not list.
        `metadata` is added to the subscription's then.
        """
        phases = next_phases(schedule, subscription, items, cycle)
        if metadata:
            phases[1]["metadata"] = dict(metadata)
        return await self.update(key, schedule["id"], phases=phases, end_behavior="release", proration_behavior="none")

    async def end_with_phase(self, key: str, schedule: Json, subscription: Json) -> Json:
        """Drop what is to come, and let the subscription end with its present phase: both, or neither."""
        present = present_phase(schedule, subscription)
        return await self.update(
            key, schedule["id"], phases=[present], end_behavior="cancel", proration_behavior="none"
        )

    async def release(self, key: str, schedule: str, *, preserve_cancel_date: bool = False) -> Json:
        """Drop what is to come; the subscription goes on as it is, or ends when the schedule would have ended it."""
        params: SubscriptionScheduleReleaseParams = {"preserve_cancel_date": preserve_cancel_date}
        return await self._calls.write(self._schedules.release_async, schedule, key=key, params=params)

    async def cancel(self, key: str, schedule: str, *, invoice_now: bool = False, prorate: bool = False) -> Json:
        """End the schedule and its subscription at once."""
        params: SubscriptionScheduleCancelParams = {"invoice_now": invoice_now, "prorate": prorate}
        return await self._calls.write(self._schedules.cancel_async, schedule, key=key, params=params)

    def each(self, **params: Unpack[SubscriptionScheduleListParams]) -> AsyncIterator[Json]:
        """Yield schedules, newest first."""
        return self._calls.each(self._schedules.list_async, params=params)


def next_phases(
    schedule: Json, subscription: Json, items: Sequence[WantedItem], cycle: Cycle
) -> list[SubscriptionScheduleUpdateParamsPhase]:
    """Return the phase that a subscription is in, as it is, and the one that follows with other items. Pure."""
    held = _held_items(subscription)
    coming: Any = {
        **_kept_terms(subscription),
        "items": [_phase_item(item.price, item.quantity, held) for item in items],
        "duration": {"interval": cycle.interval.value, "interval_count": cycle.count},
        "proration_behavior": "none",
    }
    return [present_phase(schedule, subscription), coming]


def present_phase(schedule: Json, subscription: Json) -> SubscriptionScheduleUpdateParamsPhase:
    """Return the phase that a subscription is in, as an update repeats it. Pure."""
    start = schedule["current_phase"]["start_date"]
    phase = next(phase for phase in schedule["phases"] if phase["start_date"] == start)
    held = _held_items(subscription)
    present: Any = {
        **_kept_terms(subscription),
        "items": [_phase_item(item["price"], item.get("quantity"), held) for item in phase["items"]],
        "start_date": phase["start_date"],
        "end_date": phase["end_date"],
        "proration_behavior": "none",
    }
    if phase["trial_end"] is not None:
        present["trial_end"] = phase["trial_end"]
    repeated: SubscriptionScheduleUpdateParamsPhase = present
    return repeated


def _held_items(subscription: Json) -> dict[str, Json]:
    return {item["price"]["id"]: item for item in subscription["items"]["data"]}


def _kept_terms(subscription: Json) -> dict[str, Any]:
    """Return a subscription's terms beside its items, as a phase takes them.

    A discount is named by itself, so that it is not redeemed a second time and ends when it would have. Without any the
    parameter is left out, and the customer's own discount counts, as it does without a schedule. Metadata needs no
    mention: a phase only adds to it.
    """
    terms: dict[str, Any] = {name: subscription[name] for name in _COPIED if subscription.get(name) is not None}
    if discounts := _references(subscription.get("discounts")):
        terms["discounts"] = [{"discount": each} for each in discounts]
    if rates := _references(subscription.get("default_tax_rates")):
        terms["default_tax_rates"] = rates
    if (tax := subscription.get("automatic_tax")) and tax["enabled"]:
        terms["automatic_tax"] = {name: tax[name] for name in ("enabled", "liability") if tax.get(name) is not None}
    settings = {"days_until_due": subscription.get("days_until_due"), **(subscription.get("invoice_settings") or {})}
    if said := {name: settings[name] for name in _INVOICE_SETTINGS if settings.get(name) is not None}:
        terms["invoice_settings"] = said
    return terms


def _phase_item(
    price: str, quantity: int | None, held: Mapping[str, Json]
) -> SubscriptionScheduleUpdateParamsPhaseItem:
    """Return an item of a phase; one that the subscription has already keeps its own tax rates and discounts."""
    item: SubscriptionScheduleUpdateParamsPhaseItem = {"price": price}
    if quantity is not None:
        item["quantity"] = quantity
    present = held.get(price, {})
    if rates := _references(present.get("tax_rates")):
        item["tax_rates"] = rates
    if discounts := _references(present.get("discounts")):
        item["discounts"] = [{"discount": each} for each in discounts]
    return item


def _references(found: Sequence[Any] | None) -> list[str]:
    """Return the ids of what Stripe lists by id or as a whole."""
    return [each["id"] if isinstance(each, Mapping) else each for each in found or ()]
