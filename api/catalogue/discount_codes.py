"""`/discount-codes`: what customers type to pay less."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.catalogue.discount_models import (
    CODE,
    CreateDiscountCode,
    DiscountCodeBody,
    Reductions,
    RenameDiscountCode,
    ValidateDiscountCode,
    discount_code_as_json,
)
from api.catalogue.discount_rules import taken_off, usable_code
from api.catalogue.plan_lookup import find_named_plan, require_sold
from api.catalogue.purchases import read_purchase
from api.http.documentation import PREFIX, errors
from api.http.paging import Listed, Page
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.request_keys import new_id, stripe_key
from billing.discounts import Coupon
from metering.numbers import canonical_text
from runtime.errors import ConflictError, InvalidInput
from sinks.postgres.audit import record
from sinks.postgres.discount_codes import (
    DiscountCodeRow,
    archive_discount_code,
    create_discount_code,
    find_by_code,
    find_discount_code,
    list_discount_codes,
    rename_discount_code,
)
from sinks.postgres.plans import PlanRow

router = APIRouter(prefix=f"{PREFIX}/discount-codes", tags=["discount-codes"], route_class=ExactRoute)

CodeId = Annotated[UUID, Path(description="The discount code's id.")]
Reader = Annotated[Actor, allowed("discount_codes:read")]
Writer = Annotated[Actor, allowed("discount_codes:write")]


@router.get("", summary="List discount codes", response_model=Page[DiscountCodeBody], responses=errors(400))
async def list_all(
    actor: Reader,
    stores: OpenStores,
    *,
    state: Annotated[Literal["active", "archived", "all"], Query(description="Which ones.")] = "active",
    code: Annotated[str | None, Query(pattern=CODE, description="Spelled so; capitals do not matter.")] = None,
    listed: Listed,
) -> Response:
    """List discount codes by creation."""
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_discount_codes(
            connection,
            organization_id=actor.tenant.organization_id,
            states=["active", "archived"] if state == "all" else [state],
            code=code,
            listing=listed.listing,
        )
    return json_answer(listed.page(rows, show=discount_code_as_json))


@router.get("/{id}", summary="Show a discount code", response_model=DiscountCodeBody, responses=errors(400, 404))
async def show(
    id: CodeId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Show a discount code, archived or not."""
    async with stores.postgres.acting(actor.access) as connection:
        return json_answer(discount_code_as_json(await find_discount_code(connection, str(id))))


@router.post(
    "",
    status_code=201,
    summary="Create a discount code",
    response_model=DiscountCodeBody,
    responses=errors(400, 404, 409, 413, 422),
)
async def create(request: Request, body: CreateDiscountCode, actor: Writer, stores: OpenStores) -> Response:
    """Create a code here and at Stripe. What it takes off never changes."""
    coupon, code_id = body.coupon(), new_id(request, actor, "discount_code")
    if coupon.redeem_by is not None and coupon.redeem_by <= stores.clock():
        raise InvalidInput("redeem_by: is over; write a time to come", field="redeem_by")
    plans = await _sold_plans(stores, actor, body.plans)
    coupon = replace(coupon, plans=frozenset(plan.slug for plan in plans))
    products = list(dict.fromkeys(str(plan.stripe_product_id) for plan in plans))
    async with stores.postgres.acting(actor.access) as connection:
        known = await find_by_code(connection, coupon.code, organization_id=actor.tenant.organization_id)
    if known is not None and known.id != code_id:
        raise _taken(coupon.code)
    made = await _create_at_stripe(request, stores, actor, coupon, products, code_id=code_id, name=body.name)
    async with stores.postgres.acting(actor.access) as connection:
        row = await create_discount_code(
            connection,
            coupon,
            id=code_id,
            organization_id=actor.tenant.organization_id,
            name=body.name,
            stripe_coupon_id=made.coupon,
            stripe_promotion_code_id=made.promotion_code,
        )
        if row is not None:
            await _audit(connection, actor, "discount_code.create", row)
    if row is None:
        row = await _made_before(stores, actor, code_id, coupon.code)
    return json_answer(discount_code_as_json(row), status=201)


@router.patch(
    "/{id}", summary="Rename a discount code", response_model=DiscountCodeBody, responses=errors(400, 404, 409, 413)
)
async def rename(
    id: CodeId,
    body: RenameDiscountCode,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Change what a code is called here. What it takes off is fixed: archive it, and create another."""
    async with stores.postgres.acting(actor.access) as connection:
        before = await find_discount_code(connection, str(id))
        row = await rename_discount_code(connection, str(id), body.name)
        await _audit(connection, actor, "discount_code.rename", row, before=before)
    return json_answer(discount_code_as_json(row))


@router.delete(
    "/{id}", summary="Archive a discount code", response_model=DiscountCodeBody, responses=errors(400, 404, 409)
)
async def archive(
    request: Request,
    id: CodeId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Let nobody use a code any more; who has its discount keeps it. A second time changes nothing."""
    async with stores.postgres.acting(actor.access) as connection:
        before = await find_discount_code(connection, str(id))
    if before.state == "archived":
        return json_answer(discount_code_as_json(before))
    if before.stripe_promotion_code_id is not None:
        key = stripe_key(request, actor, "discount_code.archive")
        await stores.selling.stripe.promotion_codes.set_active(key, before.stripe_promotion_code_id, active=False)
    async with stores.postgres.acting(actor.access) as connection:
        row = await archive_discount_code(connection, before.id)
        await _audit(connection, actor, "discount_code.archive", row, before=before)
    return json_answer(discount_code_as_json(row))


@router.post(
    "/validate", summary="Try a discount code", response_model=Reductions, responses=errors(400, 404, 409, 413, 422)
)
async def validate(
    request: Request,
    body: ValidateDiscountCode,
    actor: Annotated[Actor, allowed("checkout:write")],
    stores: OpenStores,
) -> Response:
    """Say what a code takes off a plan, or why it takes nothing off.

    DISCOUNT_CODE_UNKNOWN, DISCOUNT_CODE_EXPIRED, DISCOUNT_CODE_EXHAUSTED, DISCOUNT_CODE_NOT_FOR_PLAN and
    DISCOUNT_CODE_NOT_FOR_CURRENCY are the reasons.
    """
    purchase = await read_purchase(request, stores, actor, body)
    plan, currency = purchase.row.slug, purchase.currency
    row = await usable_code(
        stores, body.code, organization_id=purchase.row.organization_id, plan=plan, currency=currency
    )
    subtotal, off = taken_off(row, purchase.bought, plan=plan, currency=currency, now=stores.clock())
    return json_answer(
        {
            "code": row.code,
            "percent_off": None if row.percent_off is None else canonical_text(row.percent_off),
            "amount_off_minor": (row.amounts_off or {}).get(currency),
            "duration": row.duration,
            "duration_months": row.duration_months,
            "currency": currency,
            "subtotal_minor": subtotal,
            "discount_minor": off,
            "total_minor": subtotal - off,
        }
    )


class _AtStripe(NamedTuple):
    coupon: str
    promotion_code: str


async def _create_at_stripe(
    request: Request,
    stores: Stores,
    actor: Actor,
    coupon: Coupon,
    products: list[str],
    *,
    code_id: str,
    name: str,
) -> _AtStripe:
    stripe = stores.selling.stripe
    made = await stripe.coupons.create(
        stripe_key(request, actor, "discount_code.coupon"),
        name=name or coupon.code[:40],
        duration=coupon.duration.value,
        **_off(coupon, products),
    )
    limits: Any = {}
    if coupon.redeem_by is not None:
        limits["expires_at"] = int(coupon.redeem_by.timestamp())
    if coupon.max_redemptions is not None:
        limits["max_redemptions"] = coupon.max_redemptions
    promotion = await stripe.promotion_codes.create(
        stripe_key(request, actor, "discount_code.code"),
        promotion={"type": "coupon", "coupon": made["id"]},
        # Codes are unique in an account of Stripe, which organizations share; customers type ours, not this one.
        code=f"{coupon.code.replace('_', '-')}-{code_id[:8]}",
        **limits,
    )
    return _AtStripe(made["id"], promotion["id"])


def _off(coupon: Coupon, products: list[str]) -> Any:
    """Return what is taken off, and of what, as Stripe writes it."""
    off: dict[str, Any] = {"applies_to": {"products": products}} if products else {}
    if coupon.months is not None:
        off["duration_in_months"] = coupon.months
    if coupon.percent_off is not None:
        return {**off, "percent_off": coupon.percent_off}
    (currency, amount), *others = coupon.amounts_off.items()
    options = {other: {"amount_off": minor} for other, minor in others}
    return {**off, "currency": currency, "amount_off": amount, **({"currency_options": options} if options else {})}


async def _sold_plans(stores: Stores, actor: Actor, names: list[str]) -> list[PlanRow]:
    """Return plans that are sold, by slug or a version's id. Raises: NotFoundError, InvalidStateTransition."""
    organization_id, plans = actor.tenant.organization_id, []
    async with stores.postgres.acting(actor.access) as connection:
        for name in names:
            plans.append(await find_named_plan(connection, name, organization_id=organization_id))
            require_sold(plans[-1])
    return plans


async def _made_before(stores: Stores, actor: Actor, code_id: str, code: str) -> DiscountCodeRow:
    """Return what an earlier try of the same request made. Raises: ConflictError where it is another's code."""
    async with stores.postgres.acting(actor.access) as connection:
        known = await find_by_code(connection, code, organization_id=actor.tenant.organization_id)
    if known is None or known.id != code_id:
        raise _taken(code)
    return known


def _taken(code: str) -> ConflictError:
    return ConflictError(
        f"The discount code {code} is in use: archive it first, or take another.",
        code="DISCOUNT_CODE_EXISTS",
        field="code",
    )


async def _audit(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    row: DiscountCodeRow,
    *,
    before: DiscountCodeRow | None = None,
) -> None:
    await record(
        connection,
        organization_id=row.organization_id,
        author=actor.author,
        action=action,
        target=("discount_code", row.id),
        before=None if before is None else discount_code_as_json(before),
        after=discount_code_as_json(row),
    )
