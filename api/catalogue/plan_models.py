"""Plans in requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.catalogue.sent_prices import SentPrice
from api.http.request_body import SentBody
from billing.money import to_major
from billing.periods import Interval
from billing.plan_document import FeatureDocument, read_plans
from billing.plans import Feature, Plan
from billing.prices import Price
from billing.rates import PriceKind, Rate
from metering.numbers import canonical_text
from runtime.errors import SchemaValidation
from sinks.postgres.plans import PlanRow

_EXAMPLE: Final[dict[str, Any]] = {
    "slug": "team",
    "name": "Team",
    "description": "For teams that ship every day.",
    "trial_days": 14,
    "features": [{"slug": "api_calls", "limit": {"meter": "api_calls", "quantity": 1000000, "mode": "hard"}}],
    "prices": [
        {
            "slug": "team-seats",
            "kind": "per_seat",
            "interval": "month",
            "currencies": {"usd": {"amount": "12.00"}, "eur": {"amount": "11.00"}},
        },
        {
            "slug": "team-api-calls",
            "kind": "per_unit",
            "interval": "month",
            "meter": {"slug": "api_calls", "aggregation": "SUM"},
            "currencies": {"usd": {"amount": "0.0004"}, "eur": {"amount": "0.00037"}},
        },
    ],
    "activate": True,
}


class PlanTerms(SentBody):
    """What a plan document says; amounts are major units as text: "12.00".

    Prices, features and the other fields of an answer may be sent back as they are.
    """

    name: str = Field(default="", min_length=1, max_length=250, description="What customers read.", examples=["Team"])
    description: str = Field(default="", max_length=5000)
    product: str = Field(
        default="", description="Stripe's product, where plans share one: a customer has one subscription per product."
    )
    trial_days: int = Field(
        default=0, strict=True, description="0 to 730. None for who had the product before.", examples=[14]
    )
    metadata: dict[str, str] = Field(default_factory=dict, description="Kept on Stripe's product: at most 50 pairs.")
    features: list[FeatureDocument] = Field(default_factory=list, max_length=200)
    prices: list[SentPrice] = Field(default_factory=list, max_length=100)

    def terms(self) -> dict[str, Any]:
        """Return what was sent, as a document that JSON keeps exactly."""
        sent: dict[str, Any] = _plain(self.model_dump(exclude_unset=True, exclude={"activate"}))
        return sent


class CreatePlan(PlanTerms):
    """A new plan: a plan document, as docs/plans.example.yaml shows every field of."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    slug: str = Field(description="1 to 63 of a-z, 0-9, _ and -; subscriptions refer to it.", examples=["team"])
    name: str = Field(min_length=1, max_length=250, description="What customers read.", examples=["Team"])
    prices: list[SentPrice] = Field(min_length=1, max_length=100)
    activate: bool = Field(default=False, description="Publish it to Stripe and sell it; else it is a draft.")


class ChangePlan(PlanTerms):
    """What changes; what is left out stays. Lists and maps are replaced whole."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Team, new"}})


class RateBody(BaseModel):
    """What a price asks in one currency: as it is written in plan documents, and in minor units."""

    amount: str | None = Field(description="Major units; null for tiers.", examples=["12.00"])
    amount_minor: int | None = Field(description="Null for tiers, and where it has a fraction.", examples=[1200])
    amount_decimal: str | None = Field(description="Exactly, in minor units; null for tiers.", examples=["0.04"])
    minimum: str | None = Field(description="The least that a period costs, in major units.", examples=["5.00"])
    minimum_minor: int | None = Field(description="The same in minor units.", examples=[500])
    maximum: str | None = Field(description="The most that a period costs, in major units.", examples=["500.00"])
    maximum_minor: int | None = Field(description="The same in minor units.", examples=[50000])
    tiers: list[TierBody] = Field(description="The last one is open.")


class TierBody(BaseModel):
    """A tier: as it is written in plan documents, and in minor units."""

    up_to: int | None = Field(description="Its last unit; null: all further ones.", examples=[100])
    unit_amount: str = Field(description="Major units.", examples=["0.08"])
    unit_amount_decimal: str = Field(description="The same in minor units.", examples=["8"])
    flat_amount: str = Field(description="Major units, once for the tier.", examples=["0.00"])
    flat_amount_minor: int = Field(description="The same in minor units.", examples=[0])


class MeterReference(BaseModel):
    """The meter that a price is billed by."""

    slug: str = Field(examples=["api_calls"])
    aggregation: str = Field(examples=["SUM"])


class PriceBody(BaseModel):
    """A price."""

    slug: str = Field(examples=["team-seats"])
    name: str
    kind: PriceKind
    interval: Interval
    interval_count: int = Field(examples=[1])
    currencies: dict[str, RateBody] = Field(description="The first one is the default.")
    meter: MeterReference | None = Field(description="Null: billed ahead, by the subscription's quantity.")
    included_quantity: int
    package_size: int | None


class LimitBody(BaseModel):
    """How much of a meter a period allows."""

    meter: str = Field(examples=["api_calls"])
    quantity: str = Field(examples=["1000000"])
    mode: Literal["hard", "soft"]


class FeatureBody(BaseModel):
    """Something that a plan gives."""

    slug: str = Field(examples=["api_calls"])
    name: str
    limit: LimitBody | None = Field(description="Null: as much as wanted.")


class PlanBody(BaseModel):
    """A version of a plan."""

    id: str = Field(description="Of this version.", examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
    slug: str = Field(examples=["team"])
    version: int = Field(examples=[1])
    state: Literal["draft", "active", "archived"]
    name: str = Field(examples=["Team"])
    description: str
    product: str = Field(description="Plans of one product exclude each other.", examples=["team"])
    trial_days: int = Field(examples=[14])
    currencies: list[str] = Field(description="The first price's default comes first.", examples=[["usd", "eur"]])
    features: list[FeatureBody]
    prices: list[PriceBody]
    metadata: dict[str, str]
    created_at: datetime
    activated_at: datetime | None
    archived_at: datetime | None
    stripe_product_id: str | None = Field(description="For its organization only.")
    stripe_prices: dict[str, str] | None = Field(description="Price slug to Stripe's id; for its organization only.")


RateBody.model_rebuild()


def checked_plan(document: Mapping[str, Any]) -> Plan:
    """Return the plan that a document describes. Raises: SchemaValidation, whose `problems` are all of them."""
    try:
        (plan,) = read_plans({"plans": [document]})
    except SchemaValidation as exc:
        problems = [{**each, "field": _inner(each["field"])} for each in exc.details["problems"]]
        lines = [f"{each['field']}: {each['message']}" for each in problems]
        raise SchemaValidation("\n".join(lines), field=problems[0]["field"], problems=problems) from exc
    return plan


def plan_as_json(row: PlanRow, *, own: bool) -> dict[str, Any]:
    """Return a plan as clients see it; its organization sees Stripe's ids, too."""
    plan = row.plan()
    return {
        "id": row.id,
        "slug": row.slug,
        "version": row.version,
        "state": row.state,
        "name": row.name,
        "description": plan.description,
        "product": plan.product_slug,
        "trial_days": plan.trial_days,
        "currencies": list(dict.fromkeys(code for price in plan.prices for code in price.currencies)),
        "features": [_feature_as_json(feature) for feature in plan.features],
        "prices": [_price_as_json(price) for price in plan.prices],
        "metadata": dict(plan.metadata),
        "created_at": row.created_at,
        "activated_at": row.activated_at,
        "archived_at": row.archived_at,
        "stripe_product_id": row.stripe_product_id if own else None,
        "stripe_prices": row.stripe_prices if own else None,
    }


def _price_as_json(price: Price) -> dict[str, Any]:
    metered = price.metered
    return {
        "slug": price.slug,
        "name": price.name,
        "kind": price.kind,
        "interval": price.cycle.interval,
        "interval_count": price.cycle.count,
        "currencies": {code: _rate_as_json(rate, code) for code, rate in price.rates.items()},
        "meter": {"slug": metered.meter, "aggregation": metered.aggregation} if metered else None,
        "included_quantity": price.included_quantity,
        "package_size": price.package_size,
    }


def _rate_as_json(rate: Rate, currency: str) -> dict[str, Any]:
    amount = rate.unit_amount
    whole = amount is not None and amount == amount.to_integral_value()

    def written(minor: int | Decimal | None) -> str | None:
        return None if minor is None else to_major(minor, currency)

    return {
        "amount": written(amount),
        "amount_minor": int(amount) if amount is not None and whole else None,
        "amount_decimal": None if amount is None else canonical_text(amount),
        "minimum": written(rate.minimum),
        "minimum_minor": rate.minimum,
        "maximum": written(rate.maximum),
        "maximum_minor": rate.maximum,
        "tiers": [
            {
                "up_to": tier.up_to,
                "unit_amount": written(tier.unit_amount),
                "unit_amount_decimal": canonical_text(tier.unit_amount),
                "flat_amount": written(tier.flat_amount),
                "flat_amount_minor": tier.flat_amount,
            }
            for tier in rate.tiers
        ],
    }


def _feature_as_json(feature: Feature) -> dict[str, Any]:
    limit = feature.limit
    said = limit and {
        "meter": limit.meter,
        "quantity": canonical_text(limit.quantity),
        "mode": "hard" if limit.hard else "soft",
    }
    return {"slug": feature.slug, "name": feature.name, "limit": said}


def _plain(value: Any) -> Any:
    """Return what JSON keeps exactly: numbers that are not whole as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _inner(field: str) -> str:
    return field.removeprefix("plans[0].")
