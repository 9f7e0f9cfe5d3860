"""Discount codes in requests and answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.catalogue.intervals import IntervalCount
from api.http.request_body import SentBody, SentInstant
from billing.discounts import Coupon, Duration
from billing.money import read_decimal
from billing.periods import Interval
from metering.numbers import canonical_text
from runtime.errors import InvalidInput
from sinks.postgres.discount_codes import DiscountCodeRow

_SLUG: Final = "^[a-z0-9][a-z0-9_-]{0,62}$"
CODE: Final = "^[A-Za-z0-9_-]{1,64}$"
_LEAST_PERCENT: Final = Decimal("0.01")

Slug = Annotated[str, Field(pattern=_SLUG)]
Currency = Annotated[str, Field(pattern="^[a-z]{3}$")]
Amount = Annotated[int, Field(strict=True, ge=1, le=99_999_999)]


def _percent(value: object) -> Decimal:
    try:
        percent = read_decimal(value, "percent_off")
    except InvalidInput as exc:
        raise ValueError(exc.message) from exc
    if percent % _LEAST_PERCENT:
        raise ValueError("should have at most two decimals")
    return percent


class CreateDiscountCode(SentBody):
    """A new code: either a percentage, or an amount in each currency."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"code": "LAUNCH20", "percent_off": "20", "duration": "once"}},
    )

    code: str = Field(pattern=CODE, description="What customers type; capitals do not matter.", examples=["LAUNCH20"])
    name: str = Field(default="", max_length=40, description="On invoices.")
    percent_off: Annotated[Decimal, BeforeValidator(_percent)] | None = Field(
        default=None, description="More than 0, at most 100, two decimals.", examples=["12.5"]
    )
    amounts_off: dict[Currency, Amount] | None = Field(
        default=None, max_length=50, description="Currency to minor units.", examples=[{"usd": 500, "eur": 450}]
    )
    duration: Duration = Field(default=Duration.ONCE, description="One invoice, some months, or for good.")
    duration_months: int | None = Field(default=None, strict=True, ge=1, le=36, description="For repeating ones.")
    redeem_by: SentInstant | None = Field(default=None, examples=["2026-12-31T23:59:59Z"])
    max_redemptions: int | None = Field(default=None, strict=True, ge=1, le=2_000_000_000)
    plans: list[Slug] = Field(
        default_factory=list, max_length=50, description="Plans it is for, by slug or a version's id; empty: all."
    )

    def coupon(self) -> Coupon:
        """Return what it takes off. Raises: InvalidInput."""
        return Coupon(
            code=self.code,
            percent_off=self.percent_off,
            amounts_off=self.amounts_off or {},
            duration=self.duration,
            months=self.duration_months,
            redeem_by=self.redeem_by,
            max_redemptions=self.max_redemptions,
            plans=frozenset(self.plans),
        )


class RenameDiscountCode(SentBody):
    """Another name. What a code takes off never changes: archive it, and make another."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Launch"}})

    name: str = Field(max_length=40)


class DiscountCodeBody(BaseModel):
    """A discount code."""

    id: str = Field(examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"])
    code: str = Field(examples=["LAUNCH20"])
    name: str
    state: Literal["active", "archived"]
    percent_off: str | None = Field(examples=["12.5"])
    amounts_off: dict[str, int] | None = Field(description="Currency to minor units.")
    duration: Duration
    duration_months: int | None
    redeem_by: datetime | None
    max_redemptions: int | None
    redemptions: int = Field(description="By Stripe's count, as its events tell it.")
    plans: list[str]
    stripe_coupon_id: str | None
    stripe_promotion_code_id: str | None
    created_at: datetime
    archived_at: datetime | None


class ValidateDiscountCode(SentBody):
    """A code, and what is to be bought with it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"code": "LAUNCH20", "plan": "team", "currency": "usd"}}
    )

    code: str = Field(pattern=CODE, examples=["LAUNCH20"])
    plan: str = Field(pattern=_SLUG, description="Slug, or a version's id.", examples=["team"])
    organization: str | None = Field(
        default=None, pattern=_SLUG, description="Whose plan, by slug; the credential's if left out."
    )
    currency: str | None = Field(default=None, pattern="^[a-z]{3}$", description="The plan's default if left out.")
    interval: Interval | None = Field(default=None, description="May be left out where the plan has one.")
    interval_count: IntervalCount = 1
    quantity: int = Field(default=1, strict=True, json_schema_extra={"minimum": 1, "maximum": 1_000_000})


class Reductions(BaseModel):
    """What a code takes off a first whole period, of what is paid ahead; usage is billed at its end."""

    code: str = Field(examples=["LAUNCH20"])
    percent_off: str | None = Field(examples=["12.5"])
    amount_off_minor: int | None = Field(examples=[500])
    duration: Duration
    duration_months: int | None
    currency: str = Field(examples=["usd"])
    subtotal_minor: int = Field(examples=[6100])
    discount_minor: int = Field(examples=[1220])
    total_minor: int = Field(examples=[4880])


def discount_code_as_json(row: DiscountCodeRow) -> dict[str, Any]:
    """Return a code as clients see it."""
    shown = {name: getattr(row, name) for name in DiscountCodeBody.model_fields}
    return {**shown, "percent_off": None if row.percent_off is None else canonical_text(row.percent_off)}
