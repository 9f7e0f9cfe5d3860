"""Subscriptions in requests and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from api.catalogue.intervals import IntervalCount, interval_as_json, named_interval_as_json
from api.http.request_body import SentBody, SentInstant
from billing.periods import Cycle, Interval
from billing.stripe_objects import PLAN_KEY
from billing.subscriptions import Status
from sinks.postgres.subscriptions import PricedPlan, SubscriptionRow

Feedback = Literal[
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
]
Timing = Literal["immediate", "next_billing_cycle"]
Prorating = Literal["prorate", "none", "invoice_now"]
MAX_TRIAL_DAYS: Final = 730
T = TypeVar("T")

PlanName = Annotated[
    str, Field(min_length=1, max_length=63, description="The plan's slug, or a version's id.", examples=["team"])
]
Reason = Annotated[
    str | None, Field(default=None, max_length=500, description="For the history.", examples=["Asked by phone"])
]
# What is too much or too little has a code of its own: see QUANTITY_OUT_OF_RANGE.
Quantity = Annotated[int, Field(strict=True, description="Seats or units; 1 to 1,000,000.", examples=[5])]


def _immediate(value: T, info: ValidationInfo) -> T:
    """Refuse what has no meaning for a change that comes with the next period."""
    if value is not None and info.data.get("timing") == "next_billing_cycle":
        raise ValueError(
            "is for immediate changes: with the next billing cycle nothing is prorated; leave it out, or change at once"
        )
    return value


class CreateSubscription(SentBody):
    """A subscription that is charged to what the customer pays with; for a page to pay on see `POST /checkout`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "customer_id": "0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e",
                "plan": "team",
                "interval": "month",
                "currency": "usd",
                "quantity": 5,
            }
        },
    )

    customer_id: UUID | None = Field(default=None, description="Only end users who are one customer may leave it out.")
    plan: PlanName
    organization: str | None = Field(
        default=None,
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Of end users: whose plan, by slug.",
        examples=["acme"],
    )
    interval: Interval | None = Field(default=None, description="The plan's only one, if missing.", examples=["month"])
    interval_count: IntervalCount = 1
    currency: str | None = Field(
        default=None,
        pattern="^[a-z]{3}$",
        description="The customer's, or the plan's first one, if missing.",
        examples=["usd"],
    )
    quantity: Quantity = 1
    discount_code: str | None = Field(default=None, max_length=64, examples=["SPRING20"])
    trial_days: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=MAX_TRIAL_DAYS,
        description="If missing, the plan's, for who never had the product. The seller may give any; 0 is none.",
    )
    reason: Reason


class ChangeSubscription(SentBody):
    """What becomes another; at least one of plan, interval and quantity."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"quantity": 8, "timing": "immediate", "proration": "invoice_now"}},
    )

    plan: PlanName | None = Field(
        default=None,
        description="The plan's slug, or a version's id. A slug means the version that is sold now: sent to a"
        " subscription of an older version, it moves the customer to the new prices. If missing, the version stays.",
    )
    interval: Interval | None = Field(
        default=None, description="As it is, or the only one that the plan has, if missing."
    )
    interval_count: IntervalCount = 1
    quantity: Quantity | None = None
    timing: Timing = Field(
        default="immediate",
        description="`next_billing_cycle`: from the next period on, and nothing is prorated. Either way the same plan"
        " and quantity as now withdraw a change that was to come.",
    )
    proration: Annotated[Prorating, AfterValidator(_immediate)] = Field(
        default="prorate",
        description="Of an immediate change only: `prorate` puts the difference on the next invoice, `invoice_now`"
        " bills it at once, `none` bills nothing for the rest of the period.",
    )
    proration_at: Annotated[SentInstant | None, AfterValidator(_immediate)] = Field(
        default=None,
        description="Of an immediate change only: the `proration_at` of a preview of the last hour; what is billed is"
        " what it showed.",
    )
    reason: Reason


class CancelSubscription(SentBody):
    """When it ends, and why."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"at": "period_end", "reason": "too_expensive"}}
    )

    at: Literal["now", "period_end"] = Field(
        default="period_end", description="`now` bills what was used and gives no money back."
    )
    reason: Feedback | None = None
    comment: str | None = Field(default=None, max_length=5000, description="In the customer's words.")


class PauseSubscription(SentBody):
    """What becomes of invoices meanwhile."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"behavior": "void"}})

    behavior: Literal["keep_as_draft", "mark_uncollectible", "void"] = Field(
        default="void",
        description="`void`: the service is not billed. `keep_as_draft`: it is billed later, and still counts as MRR."
        " `mark_uncollectible`: it is given for free.",
    )
    resumes_at: SentInstant | None = Field(default=None, description="Collected again from then on.")
    reason: Reason


class ChangeTrial(SentBody):
    """When the trial ends."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"ends_at": "now"}})

    ends_at: Literal["now"] | SentInstant = Field(
        description="An instant, or `now`: the first period begins and is charged.", examples=["2026-12-24T00:00:00Z"]
    )
    reason: Reason


class Because(SentBody):
    """Why, for the history."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "Asked by phone"}})

    reason: Reason


class PlanOfSubscription(BaseModel):
    """A version of a plan."""

    id: str
    slug: str = Field(examples=["team"])
    version: int
    name: str = Field(examples=["Team"])


class Cancellation(BaseModel):
    """Why it ended or ends."""

    reason: str | None = Field(examples=["too_expensive"])
    comment: str | None


class Pause(BaseModel):
    """Invoices are not collected."""

    behavior: str = Field(examples=["void"])
    resumes_at: datetime | None


class ScheduledChange(BaseModel):
    """What it becomes with the next period."""

    effective_at: datetime
    plan: PlanOfSubscription | None = Field(description="Null: prices that no plan here knows.")
    interval: Interval | None = Field(description="Null: prices that no plan here knows.", examples=["month"])
    interval_count: int | None = Field(description="Every so many intervals.", examples=[3])
    quantity: int


class SubscriptionBody(BaseModel):
    """A subscription as Stripe told it last. Amounts are minor units of `currency`."""

    id: str
    customer_id: str
    plan: PlanOfSubscription | None = Field(description="Null: prices that no plan here knows.")
    status: Status
    currency: str = Field(examples=["usd"])
    interval: Interval | None = Field(description="Null: nothing is paid for.", examples=["month"])
    interval_count: int | None = Field(description="Every so many intervals.", examples=[3])
    quantity: int
    current_period_start: datetime
    current_period_end: datetime
    trial_start: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    cancellation: Cancellation | None
    pause: Pause | None
    scheduled_change: ScheduledChange | None
    mrr_minor: int = Field(description="Monthly recurring revenue (MRR), before discounts.")
    stripe_subscription_id: str
    created_at: datetime
    updated_at: datetime


def subscription_as_json(row: SubscriptionRow, plans: Sequence[PricedPlan] = ()) -> dict[str, Any]:
    """Return a subscription as clients see it; `plans` are those of what is scheduled."""
    plan = None
    if row.plan_id is not None:
        plan = {"id": row.plan_id, "slug": row.plan_slug, "version": row.plan_version, "name": row.plan_name}
    said = row.cancellation_reason is not None or row.cancellation_comment is not None
    return {
        "id": row.id,
        "customer_id": row.customer_id,
        "plan": plan,
        "status": row.status,
        "currency": row.currency,
        **named_interval_as_json(row.billing_cycle),
        "quantity": row.quantity,
        "current_period_start": row.current_period_start,
        "current_period_end": row.current_period_end,
        "trial_start": row.trial_start,
        "trial_end": row.trial_end,
        "cancel_at_period_end": row.cancel_at_period_end,
        "cancel_at": row.cancel_at,
        "canceled_at": row.canceled_at,
        "ended_at": row.ended_at,
        "cancellation": {"reason": row.cancellation_reason, "comment": row.cancellation_comment} if said else None,
        "pause": {"behavior": row.pause_behavior, "resumes_at": row.pause_resumes_at} if row.pause_behavior else None,
        "scheduled_change": _scheduled_as_json(row, plans),
        "mrr_minor": row.mrr_minor,
        "stripe_subscription_id": row.stripe_subscription_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def scheduled_phase(row: SubscriptionRow) -> dict[str, Any] | None:
    """Return the phase of Stripe's schedule that is to come."""
    schedule = row.schedule
    if not isinstance(schedule, dict) or schedule["status"] != "active":
        return None
    present = (schedule.get("current_phase") or {}).get("start_date", 0)
    return next((phase for phase in schedule["phases"] if phase["start_date"] > present), None)


def scheduled_prices(row: SubscriptionRow) -> frozenset[str]:
    """Return Stripe's prices that are to come."""
    phase = scheduled_phase(row)
    return frozenset(item["price"] for item in phase["items"]) if phase else frozenset()


def plan_of_items(items: Sequence[Mapping[str, Any]], plans: Sequence[PricedPlan]) -> PricedPlan | None:
    """Return the first of the plans that has the prices of all items."""
    prices = {item["price"] for item in items}
    return next((plan for plan in plans if prices <= set(plan.prices)), None)


def cycle_of_items(items: Sequence[Mapping[str, Any]], plan: PricedPlan | None) -> Cycle | None:
    """Return how often items of a plan are billed."""
    return None if plan is None else plan.cycle(item["price"] for item in items)


def _scheduled_as_json(row: SubscriptionRow, plans: Sequence[PricedPlan]) -> dict[str, Any] | None:
    phase = scheduled_phase(row)
    if phase is None:
        return None
    named = (phase.get("metadata") or {}).get(PLAN_KEY)
    plan = next((each for each in plans if each.id == named), None) or plan_of_items(phase["items"], plans)
    return {
        "effective_at": datetime.fromtimestamp(phase["start_date"], UTC),
        "plan": plan and {"id": plan.id, "slug": plan.slug, "version": plan.version, "name": plan.name},
        **interval_as_json(cycle_of_items(phase["items"], plan)),
        "quantity": max((item["quantity"] for item in phase["items"] if "quantity" in item), default=1),
    }
