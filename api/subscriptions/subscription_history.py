"""The history of a subscription in answers: Stripe's prices with the plans that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.catalogue.intervals import interval_as_json, named_interval_as_json
from api.subscriptions.subscription_models import cycle_of_items, plan_of_items
from sinks.postgres.subscriptions import ChangeRow, PricedPlan


class ChangeBody(BaseModel):
    """A line of the history: the difference of two states."""

    id: int
    kind: str = Field(
        description="`price_changed`: what a price costs was changed at Stripe, and nothing else differs.",
        examples=["plan_changed"],
    )
    before: dict[str, Any] | None = Field(
        serialization_alias="from",
        description="The fields that differ, before. `items` are prices at Stripe, `plan` is whose they are, by slug;"
        " `scheduled` is what it becomes with the next period.",
        examples=[{"plan": "team", "items": [{"price": "price_1TeamMonth", "quantity": 5}], "quantity": 5}],
    )
    after: dict[str, Any] | None = Field(serialization_alias="to", description="The same fields afterwards.")
    actor: str = Field(description="`stripe` where nobody asked us.", examples=["key ms_1a2b3c…"])
    reason: str | None
    effective_at: datetime
    recorded_at: datetime
    mrr_delta_minor: int
    currency: str


def prices_of_change(row: ChangeRow) -> frozenset[str]:
    """Return Stripe's prices that a line names."""
    sides = [side for side in (row.before, row.after) if side is not None]
    items = [item for side in sides for item in (*side.get("items", ()), *_scheduled(side).get("items", ()))]
    return frozenset(item["price"] for item in items)


def change_as_json(row: ChangeRow, plans: Sequence[PricedPlan]) -> dict[str, Any]:
    """Return a line as clients see it; `plans` are those of its prices."""
    return {
        "id": row.id,
        "kind": row.kind,
        "from": _side_as_json(row.before, plans),
        "to": _side_as_json(row.after, plans),
        "actor": row.actor,
        "reason": row.reason,
        "effective_at": row.effective_at,
        "recorded_at": row.recorded_at,
        "mrr_delta_minor": row.mrr_delta_minor,
        "currency": row.currency,
    }


def _side_as_json(side: dict[str, Any] | None, plans: Sequence[PricedPlan]) -> dict[str, Any] | None:
    """Return one side, with plans by slug: versions may share their prices, and these are all that a line tells."""
    if side is None:
        return None
    shown = {name: value for name, value in side.items() if name != "billing_cycle"}
    if "billing_cycle" in side:
        shown |= named_interval_as_json(side["billing_cycle"])
    if "items" in side:
        plan = plan_of_items(side["items"], plans)
        shown["plan"] = plan and plan.slug
    if coming := _scheduled(side):
        plan = plan_of_items(coming["items"], plans)
        shown["scheduled"] = {
            **coming,
            "plan": plan and plan.slug,
            **interval_as_json(cycle_of_items(coming["items"], plan)),
            "quantity": max(item["quantity"] for item in coming["items"]),
        }
    return shown


def _scheduled(side: dict[str, Any]) -> dict[str, Any]:
    """Return what a side says of the next period; old lines say it as text, and stay so."""
    found = side.get("scheduled")
    return found if isinstance(found, dict) else {}
