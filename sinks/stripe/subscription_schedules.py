"""Schedules: changes of a subscription that are due later, such as a downgrade at the period's end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

import stripe
from stripe.params import (
    SubscriptionScheduleCancelParams,
    SubscriptionScheduleCreateParams,
    SubscriptionScheduleListParams,
    SubscriptionScheduleUpdateParams,
    SubscriptionScheduleUpdateParamsPhase,
    SubscriptionScheduleUpdateParamsPhaseDiscount,
    SubscriptionScheduleUpdateParamsPhaseItem,
)

from billing.periods import Cycle
from sinks.stripe.calls import Calls, Json
from sinks.stripe.item_changes import WantedItem


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

    async def set_next(self, key: str, schedule: Json, items: Sequence[WantedItem], cycle: Cycle) -> Json:
        """Let a subscription have these items when its present phase ends, and go on with them."""
        present = present_phase(schedule)
        coming: SubscriptionScheduleUpdateParamsPhase = {
            "items": [_phase_item(item.price, item.quantity) for item in items],
            "duration": {"interval": cycle.interval.value, "interval_count": cycle.count},
            "proration_behavior": "none",
        }
        return await self.update(
            key, schedule["id"], phases=[_as_it_is(present), coming], end_behavior="release", proration_behavior="none"
        )

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


def present_phase(schedule: Json) -> Json:
    """Return the phase that a schedule is in."""
    start = schedule["current_phase"]["start_date"]
    phase: Json = next(phase for phase in schedule["phases"] if phase["start_date"] == start)
    return phase


def _as_it_is(phase: Json) -> SubscriptionScheduleUpdateParamsPhase:
    """Return a phase as an update repeats it."""
    params: SubscriptionScheduleUpdateParamsPhase = {
        "items": [_phase_item(item["price"], item.get("quantity")) for item in phase["items"]],
        "start_date": phase["start_date"],
        "end_date": phase["end_date"],
        "proration_behavior": "none",
    }
    if phase["trial_end"] is not None:
        params["trial_end"] = phase["trial_end"]
    if phase["discounts"]:
        params["discounts"] = [_discount(each) for each in phase["discounts"]]
    return params


def _discount(discount: Json) -> SubscriptionScheduleUpdateParamsPhaseDiscount:
    """Name a discount once: by itself where it is redeemed, else by what it comes from."""
    if discount.get("discount"):
        return {"discount": discount["discount"]}
    if discount.get("promotion_code"):
        return {"promotion_code": discount["promotion_code"]}
    return {"coupon": discount["coupon"]}


def _phase_item(price: str, quantity: int | None) -> SubscriptionScheduleUpdateParamsPhaseItem:
    return {"price": price} if quantity is None else {"price": price, "quantity": quantity}
