"""`/plans`: what is sold. A change of terms makes a new version; subscriptions keep theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, Visitor, allowed
from api.catalogue.plan_meters import require_meters
from api.catalogue.plan_models import ChangePlan, CreatePlan, PlanBody, checked_plan, plan_as_json
from api.http.caching import PLANS
from api.http.documentation import PREFIX, errors
from api.http.paging import CreationSort, Cursor, Limit, Page, decode_sorted_cursor, listed_by_creation, page
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from billing.periods import Interval
from billing.plans import Plan, plan_difference
from runtime.errors import (
    AuthenticationError,
    ConflictError,
    InsufficientPermissions,
    InvalidInput,
    InvalidStateTransition,
    NotFoundError,
)
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.plans import (
    PlanFilters,
    PlanRow,
    PlanState,
    activate_plan,
    archive_plan,
    create_plan,
    find_organization_id,
    find_plan,
    list_plans,
    list_plans_by_creation,
    plan_changed,
    require_new_slug,
    rewrite_plan,
    succeed_plan,
)
from sinks.stripe.tenant_plans import PublishedPlan, publish_version, retire_prices

router = APIRouter(prefix=f"{PREFIX}/plans", tags=["plans"], route_class=ExactRoute)

# Beside what a credential may be: none.
_PUBLIC: Final[dict[str, Any]] = {"security": [{}]}
_UUID_CHARS: Final = 36

PlanId = Annotated[
    str,
    Path(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="The plan's slug, or a version's id.", examples=["team"]),
]
OrganizationSlug = Annotated[
    str | None,
    Query(
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Whose plans, by slug; the credential's organization, or the server's own, if missing.",
        examples=["acme"],
    ),
]
PlanSort: TypeAlias = Literal["slug"] | CreationSort
Writer = Annotated[Actor, allowed("plans:write")]


class _AfterSlug(NamedTuple):
    sort: str
    slug: str
    version: int


@router.get("", summary="List plans", response_model=Page[PlanBody], responses=errors(400, 404), openapi_extra=_PUBLIC)
async def list_all(
    request: Request,
    visitor: Visitor,
    stores: OpenStores,
    *,
    organization: OrganizationSlug = None,
    currency: Annotated[str | None, Query(pattern="^[a-z]{3}$", examples=["usd"])] = None,
    interval: Annotated[Interval | None, Query(examples=["month"])] = None,
    state: Annotated[
        list[PlanState] | None, Query(description="Others than active ones are its organization's to see.")
    ] = None,
    slug: Annotated[
        str | None, Query(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="The versions of this plan only.")
    ] = None,
    sort: Annotated[
        PlanSort, Query(description="By slug and version, or by when each version was made, newest or oldest first.")
    ] = "slug",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the plans that are sold. No credential is needed; without one name the `organization`.

    It may be left out where the server has one of its own (METERSTREAM_API__ORGANIZATION).
    """
    organization_id = await organization_asked_for(request, stores, visitor, organization)
    own = visitor is not None and visitor.organization_id == organization_id
    states = state or ["active"]
    if states != ["active"] and not own:
        if visitor is None:
            raise AuthenticationError("Drafts and archived plans are their organization's to see: send a credential.")
        raise InsufficientPermissions("Drafts and archived plans are their organization's to see.")
    async with stores.postgres.acting(visitor.access if visitor else Access()) as connection:
        filters = PlanFilters(
            organization_id=organization_id, states=states, slug=slug, currency=currency, interval=interval
        )
        show = partial(plan_as_json, own=own)
        return json_answer(await _page(connection, filters, sort, limit, cursor, show=show))


@router.get("/{id}", summary="Show a plan", response_model=PlanBody, responses=errors(400, 404), openapi_extra=_PUBLIC)
async def show(
    request: Request,
    id: PlanId,
    visitor: Visitor,
    stores: OpenStores,
    organization: OrganizationSlug = None,
) -> Response:
    """Show a version by id, or what is sold under a slug. No credential is needed for what is or was sold."""
    plan_id = as_uuid(id)
    organization_id = None if plan_id else await organization_asked_for(request, stores, visitor, organization)
    async with stores.postgres.acting(visitor.access if visitor else Access()) as connection:
        row = await find_plan(connection, id=plan_id, slug=id, organization_id=organization_id)
    own = visitor is not None and visitor.organization_id == row.organization_id
    return json_answer(plan_as_json(row, own=own))


@router.post(
    "",
    status_code=201,
    summary="Create a plan",
    response_model=PlanBody,
    responses=errors(400, 409, 413, 422),
)
async def create(body: CreatePlan, actor: Writer, stores: OpenStores) -> Response:
    """Create a plan from a plan document: a draft, or with `activate` one that is published to Stripe and sold.

    The meters of usage prices must be there, and count as the prices say.
    With `activate` and Stripe out of reach the answer is 503, and the same request again finishes it.
    """
    document = body.terms()
    plan, organization_id = checked_plan(document), actor.tenant.organization_id
    await require_meters(stores, actor, plan)
    published = None
    if body.activate:
        async with stores.postgres.acting(actor.access) as connection:
            await require_new_slug(connection, plan.slug, organization_id=organization_id)
        published = await _publish(stores, actor, plan)
    async with stores.postgres.acting(actor.access) as connection:
        row = await create_plan(
            connection, organization_id=organization_id, slug=plan.slug, name=plan.name, document=document
        )
        if published is not None:
            row = await activate_plan(
                connection, row, stripe_product_id=published.product, stripe_prices=published.prices
            )
        await _audit(connection, actor, "plan.create", after=row)
    await stores.cache.forget(PLANS)
    if published is not None:
        await retire_prices(stores.selling.stripe, published.stale)
    return json_answer(plan_as_json(row, own=True), status=201)


@router.patch("/{id}", summary="Change a plan", response_model=PlanBody, responses=errors(400, 404, 409, 413, 422))
async def change(
    id: PlanId,
    body: ChangePlan,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Change a plan. Names change in place; other prices, limits or trial of what is sold make a new version.

    Subscriptions keep the version they have, until they are moved.
    """
    before = await _own_plan(stores, actor, id)
    if before.state == "archived":
        raise plan_archived(before)
    document = {**before.sent(), **body.terms()}
    plan = checked_plan(document)
    if "prices" in body.model_fields_set:
        await require_meters(stores, actor, plan)
    published = await _publish(stores, actor, plan) if before.state == "active" else None
    async with stores.postgres.acting(actor.access) as connection:
        if published is not None and _is_new_version(before, plan, published):
            row = await succeed_plan(
                connection,
                before,
                name=plan.name,
                document=document,
                stripe_product_id=published.product,
                stripe_prices=published.prices,
            )
        else:
            row = await rewrite_plan(connection, before, name=plan.name, document=document)
        await _audit(connection, actor, "plan.change", before=before, after=row)
    await stores.cache.forget(PLANS)
    if published is not None:
        await retire_prices(stores.selling.stripe, published.stale)
    return json_answer(plan_as_json(row, own=True))


@router.post(
    "/{id}/activate", summary="Sell a draft", response_model=PlanBody, responses=errors(400, 404, 409, 413, 422)
)
async def activate(
    id: PlanId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Publish a draft to Stripe and sell it. An active plan stays as it is."""
    row = await _own_plan(stores, actor, id)
    if row.state == "archived":
        raise plan_archived(row)
    if row.state == "draft":
        plan = row.plan()
        await require_meters(stores, actor, plan)
        published = await _publish(stores, actor, plan)
        async with stores.postgres.acting(actor.access) as connection:
            row = await activate_plan(
                connection, row, stripe_product_id=published.product, stripe_prices=published.prices
            )
            await _audit(connection, actor, "plan.activate", after=row)
        await stores.cache.forget(PLANS)
        await retire_prices(stores.selling.stripe, published.stale)
    return json_answer(plan_as_json(row, own=True))


@router.delete("/{id}", summary="Archive a plan", response_model=PlanBody, responses=errors(400, 404))
async def archive(
    id: PlanId,
    actor: Writer,
    stores: OpenStores,
) -> Response:
    """Sell a plan no more; subscriptions keep it. A second time changes nothing."""
    before = await _own_plan(stores, actor, id)
    if before.stripe_product_id is not None:
        # Stripe must answer before anything is changed here.
        await stores.selling.stripe.products.get(before.stripe_product_id)
    row = before
    if before.state != "archived":
        async with stores.postgres.acting(actor.access) as connection:
            row = await archive_plan(connection, before)
            await _audit(connection, actor, "plan.archive", before=before, after=row)
        await stores.cache.forget(PLANS)
    if before.stripe_product_id is not None and await _is_newest(stores, actor, row):
        await retire_prices(stores.selling.stripe, row.stripe_prices.values())
    return json_answer(plan_as_json(row, own=True))


async def _page(
    connection: AsyncConnection,
    filters: PlanFilters,
    sort: PlanSort,
    limit: int,
    cursor: str | None,
    *,
    show: Callable[[PlanRow], dict[str, Any]],
) -> dict[str, Any]:
    if sort != "slug":
        listed = listed_by_creation(sort, limit, cursor)
        return listed.page(await list_plans_by_creation(connection, filters, listed.listing), show=show)
    after = decode_sorted_cursor(cursor, _AfterSlug, sort)
    rows = await list_plans(connection, filters, after=after[1:] if after else ("", 0), limit=limit + 1)
    return page(rows, limit, show=show, place=lambda row: _AfterSlug(sort, row.slug, row.version))


async def organization_asked_for(request: Request, stores: Stores, actor: Actor | None, slug: str | None) -> str:
    """Return the organization whose plans are meant. Raises: NotFoundError, InvalidInput where none is named."""
    if slug is None and actor is not None and actor.organization_id is not None:
        return actor.organization_id
    slug = slug or request.app.state.settings.api.organization
    if slug is None:
        raise InvalidInput("organization: is missing; name the organization whose plans you mean", field="organization")
    async with stores.postgres.acting(Access()) as connection:
        found = await find_organization_id(connection, slug)
    if found is None:
        raise NotFoundError(f"No organization {slug!r}.", code="ORGANIZATION_NOT_FOUND")
    return found


def as_uuid(text: str) -> str | None:
    """Return a text that is a UUID, else None: then it is a slug."""
    try:
        return str(UUID(text)) if len(text) == _UUID_CHARS else None
    except ValueError:
        return None


def plan_archived(row: PlanRow) -> InvalidStateTransition:
    """Return what is said of a plan that is sold no more."""
    return InvalidStateTransition(
        f"The plan {row.slug} is archived: choose another one. GET /plans lists those that are sold.",
        code="PLAN_ARCHIVED",
        plan=row.slug,
        version=row.version,
    )


async def _own_plan(stores: Stores, actor: Actor, id_or_slug: str) -> PlanRow:
    """Return a plan of the caller's organization: others' are public, but not theirs. Raises: NotFoundError."""
    organization_id = actor.tenant.organization_id
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_plan(connection, id=as_uuid(id_or_slug), slug=id_or_slug, organization_id=organization_id)
    if row.organization_id != organization_id:
        raise NotFoundError(f"No plan {id_or_slug!r}.", code="PLAN_NOT_FOUND")
    return row


async def _is_newest(stores: Stores, actor: Actor, row: PlanRow) -> bool:
    """Say whether no later version is sold, which may have the same prices."""
    newest = await _own_plan(stores, actor, row.slug)
    return newest.id == row.id


def _is_new_version(before: PlanRow, plan: Plan, published: PublishedPlan) -> bool:
    """Say whether subscribers of both differ. A price that somebody archived at Stripe is another one there, too."""
    return plan_difference(before.plan(), plan).needs_new_version or published.prices != before.stripe_prices


async def _publish(stores: Stores, actor: Actor, plan: Plan) -> PublishedPlan:
    tenant = actor.tenant
    try:
        return await publish_version(
            stores.selling.stripe, plan, organization_id=tenant.organization_id, organization=tenant.organization
        )
    except ConflictError as exc:
        # Stripe gives the key of a price's next version once.
        raise plan_changed(plan.slug) from exc


async def _audit(
    connection: AsyncConnection, actor: Actor, action: str, *, after: PlanRow, before: PlanRow | None = None
) -> None:
    await record(
        connection,
        organization_id=after.organization_id,
        author=actor.author,
        action=action,
        target=("plan", after.id),
        before=None if before is None else _history(before),
        after=_history(after),
    )


def _history(row: PlanRow) -> dict[str, Any]:
    return {"slug": row.slug, "version": row.version, "state": row.state, **row.sent()}
