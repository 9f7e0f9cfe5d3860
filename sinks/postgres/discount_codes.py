"""Discount codes: what customers type to pay less. Each is a coupon and a promotion code at Stripe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from billing.discounts import Coupon, Duration
from runtime.errors import NotFoundError
from sinks.postgres.listing import NEWEST, Listing
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL: Final = load("discount_codes")
CodeState = Literal["active", "archived"]


@dataclass(frozen=True, slots=True)
class DiscountCodeRow:
    """A discount code as stored."""

    id: str
    organization_id: str
    code: str
    name: str
    state: CodeState
    percent_off: Decimal | None
    amounts_off: dict[str, int] | None
    """Currency → minor units."""
    duration: Literal["once", "repeating", "forever"]
    duration_months: int | None
    redeem_by: datetime | None
    max_redemptions: int | None
    redemptions: int
    plans: list[str]
    stripe_coupon_id: str | None
    stripe_promotion_code_id: str | None
    created_at: datetime
    archived_at: datetime | None

    def coupon(self) -> Coupon:
        """Return what it takes off."""
        return Coupon(
            code=self.code,
            percent_off=self.percent_off,
            amounts_off=self.amounts_off or {},
            duration=Duration(self.duration),
            months=self.duration_months,
            redeem_by=self.redeem_by,
            max_redemptions=self.max_redemptions,
            plans=frozenset(self.plans),
        )


async def create_discount_code(
    connection: AsyncConnection,
    coupon: Coupon,
    *,
    id: str,
    organization_id: str,
    name: str,
    stripe_coupon_id: str,
    stripe_promotion_code_id: str,
) -> DiscountCodeRow | None:
    """Keep a code that Stripe has. None: the id is there already, or the code is in use."""
    values = {
        "id": id,
        "organization_id": organization_id,
        "code": coupon.code,
        "name": name,
        "percent_off": coupon.percent_off,
        "amounts_off": Jsonb(dict(coupon.amounts_off)) if coupon.amounts_off else None,
        "duration": str(coupon.duration),
        "duration_months": coupon.months,
        "redeem_by": coupon.redeem_by,
        "max_redemptions": coupon.max_redemptions,
        "plans": sorted(coupon.plans),
        "stripe_coupon_id": stripe_coupon_id,
        "stripe_promotion_code_id": stripe_promotion_code_id,
    }
    return await _one(connection, "create", values)


async def find_discount_code(connection: AsyncConnection, discount_code_id: str) -> DiscountCodeRow:
    """Return a code by its id, archived or not. Raises: NotFoundError."""
    return await _one(connection, "find", {"id": discount_code_id}) or _missing(discount_code_id)


async def find_by_code(connection: AsyncConnection, code: str, *, organization_id: str) -> DiscountCodeRow | None:
    """Return the code in force that a customer typed."""
    return await _one(connection, "find_by_code", {"code": code, "organization_id": organization_id})


async def list_discount_codes(
    connection: AsyncConnection,
    *,
    organization_id: str,
    states: Collection[CodeState],
    code: str | None = None,
    listing: Listing = NEWEST,
) -> list[DiscountCodeRow]:
    """Return a page of codes."""
    values = {"organization_id": organization_id, "states": list(states), "code": code, **listing.values()}
    # Never prepared: a plan for any filters would use the index of none.
    return await fetch_all(connection, DiscountCodeRow, _SQL[listing.statement], values, prepare=False)


async def rename_discount_code(connection: AsyncConnection, discount_code_id: str, name: str) -> DiscountCodeRow:
    """Change what it is called inside. Raises: NotFoundError."""
    values = {"id": discount_code_id, "name": name}
    return await _one(connection, "rename", values) or _missing(discount_code_id)


async def archive_discount_code(connection: AsyncConnection, discount_code_id: str) -> DiscountCodeRow:
    """Take it out of use; a second time changes nothing. Raises: NotFoundError."""
    return await _one(connection, "archive", {"id": discount_code_id}) or _missing(discount_code_id)


async def count_redemptions(connection: AsyncConnection, discount_code_id: str, redemptions: int) -> None:
    """Keep how often Stripe says it was redeemed."""
    with translated_errors():
        values = {"id": discount_code_id, "redemptions": redemptions}
        await connection.execute(_SQL["count_redemptions"], values)


async def _one(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> DiscountCodeRow | None:
    return await fetch_one(connection, DiscountCodeRow, _SQL[statement], values)


def _missing(discount_code_id: str) -> DiscountCodeRow:
    raise NotFoundError(f"No discount code {discount_code_id}.", code="DISCOUNT_CODE_NOT_FOUND")
