"""Checkouts in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.catalogue.intervals import IntervalCount, named_interval_as_json
from api.http.request_body import SentBody, WebAddress
from billing.periods import Interval
from sinks.postgres.checkouts import CheckoutRow

_MADE_HERE: Final = frozenset({"plan", "subscription", "interval", "interval_count"})
_SLUG = "^[a-z0-9][a-z0-9_-]{0,62}$"


class StartCheckout(SentBody):
    """What is to be bought, by whom, and where they come back to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "plan": "team",
                "interval": "month",
                "currency": "usd",
                "quantity": 3,
                "discount_code": "LAUNCH20",
                "success_url": "https://app.example.com/welcome",
                "cancel_url": "https://app.example.com/plans",
            }
        },
    )

    plan: str = Field(pattern=_SLUG, description="Slug, or a version's id.", examples=["team"])
    organization: str | None = Field(
        default=None, pattern=_SLUG, description="For end users: whose plan, where `plan` is a slug.", examples=["acme"]
    )
    customer_id: UUID | None = Field(
        default=None, description="Who buys. End users leave it out: their customer is made where there is none."
    )
    interval: Interval | None = Field(default=None, description="May be left out where the plan has one.")
    interval_count: IntervalCount = 1
    currency: str | None = Field(
        default=None, pattern="^[a-z]{3}$", description="The customer's or the plan's if left out.", examples=["usd"]
    )
    quantity: int = Field(
        default=1,
        strict=True,
        description="Of what is sold by quantity; flat and metered prices take none.",
        json_schema_extra={"minimum": 1, "maximum": 1_000_000},
    )
    discount_code: str | None = Field(default=None, pattern="^[A-Za-z0-9_-]{1,64}$", examples=["LAUNCH20"])
    trial_days: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        description="If left out, the plan's, for who never had the product. The seller may give it again, but no"
        " longer one; 0 is none.",
    )
    automatic_tax: bool = Field(default=False, description="Let Stripe compute taxes from the address on the page.")
    success_url: WebAddress
    cancel_url: WebAddress | None = None


class PlanReference(BaseModel):
    """The version of a plan that is bought."""

    id: str
    slug: str = Field(examples=["team"])
    version: int = Field(examples=[1])


class SubscriptionReference(BaseModel):
    """What the checkout became."""

    id: str
    status: str = Field(examples=["active"])


class CheckoutBody(BaseModel):
    """A checkout."""

    id: str = Field(examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
    status: Literal["open", "complete", "expired"]
    url: str | None = Field(description="Stripe's page, while it is open: send the customer there.")
    customer_id: str
    plan: PlanReference
    interval: Interval = Field(examples=["month"])
    interval_count: int = Field(description="Every so many intervals.", examples=[3])
    currency: str = Field(examples=["usd"])
    quantity: int = Field(examples=[3])
    discount_code_id: str | None
    subscription: SubscriptionReference | None = Field(description="Once the customer has paid.")
    expires_at: datetime | None
    created_at: datetime
    completed_at: datetime | None


def checkout_as_json(row: CheckoutRow) -> dict[str, Any]:
    """Return a checkout as clients see it."""
    shown = {name: getattr(row, name) for name in CheckoutBody.model_fields if name not in _MADE_HERE}
    subscription = row.subscription_id and {"id": row.subscription_id, "status": row.subscription_status}
    return {
        **shown,
        **named_interval_as_json(row.billing_cycle),
        "url": row.url if row.status == "open" else None,
        "plan": {"id": row.plan_id, "slug": row.plan, "version": row.plan_version},
        "subscription": subscription,
    }
