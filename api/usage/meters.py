"""`/meters`: what is counted. Numbers are read in `meter_queries`."""

from __future__ import annotations

import uuid
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Path, Query
from psycopg import AsyncConnection
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.responses import ExactRoute, json_answer
from api.usage.dry_runs import try_meter
from api.usage.meter_models import CreateMeter, DryRun, MeterBody, RenameMeter, meter_as_json
from metering.meters import Meter, build_meter
from runtime.errors import BusinessLogicError, InvalidInput
from sinks.clickhouse.recent_events import recent_events
from sinks.postgres.audit import record
from sinks.postgres.meters import MeterRow, archive_meter, create_meter, find_meter, list_meters, rename_meter

router = APIRouter(prefix=f"{PREFIX}/meters", tags=["meters"], route_class=ExactRoute)

_TRIED_EVENTS = 1_000
_FIXED = frozenset(CreateMeter.model_fields) - frozenset(RenameMeter.model_fields)

Slug = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="The meter's slug.", examples=["tokens"])]


class _AfterSlug(NamedTuple):
    slug: str


@router.post(
    "",
    status_code=201,
    summary="Create a meter, or try one out",
    response_model=MeterBody,
    responses={
        **errors(400, 409, 413),
        200: {"model": DryRun, "description": "With `dry_run`: what it would have read. Nothing was created."},
    },
)
async def create(
    body: CreateMeter,
    actor: Annotated[Actor, allowed("meters:write")],
    stores: OpenStores,
    dry_run: Annotated[bool, Query(description="Try it on the last 1,000 events instead of creating it.")] = False,
) -> Response:
    """Create a meter: it reads every event of its type that arrives from now on.

    The moment is a place in the log, so that a replay counts the same. A slug that was ever in use is refused.
    """
    meter = _build(body, actor.tenant.organization_id)
    if dry_run:
        events = await stores.clickhouse.run(
            recent_events,
            organization_id=actor.tenant.organization_id,
            event_type=meter.event_type,
            limit=_TRIED_EVENTS,
        )
        return json_answer(try_meter(meter, ((event.event_id, event.body) for event in events)))
    async with stores.postgres.acting(actor.access) as connection:
        row = await create_meter(
            connection,
            meter,
            name=body.name or meter.slug,
            description=body.description,
            shape=stores.shape,
        )
        await _record(connection, actor, "create", after=row)
    return json_answer(meter_as_json(row), status=201)


@router.get("", summary="List meters", response_model=Page[MeterBody], responses=errors(400))
async def list_all(
    actor: Annotated[Actor, allowed("usage:read")],
    stores: OpenStores,
    limit: Limit = 100,
    cursor: Cursor = None,
    archived: Annotated[bool, Query(description="Archived ones too.")] = False,
) -> Response:
    """List the organization's meters by slug."""
    after = decode_cursor(cursor, _AfterSlug)
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_meters(
            connection,
            organization_id=actor.tenant.organization_id,
            after=after.slug if after else "",
            limit=limit + 1,
            archived=archived,
        )
    return json_answer(page(rows, limit, show=meter_as_json, place=lambda row: _AfterSlug(row.slug)))


@router.get("/{slug}", summary="Show a meter", response_model=MeterBody, responses=errors(400, 404))
async def show(slug: Slug, actor: Annotated[Actor, allowed("usage:read")], stores: OpenStores) -> Response:
    """Show a meter, archived or not."""
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_meter(connection, organization_id=actor.tenant.organization_id, slug=slug)
    return json_answer(meter_as_json(row))


@router.patch("/{slug}", summary="Rename a meter", response_model=MeterBody, responses=errors(400, 404, 413, 422))
async def rename(
    slug: Slug, body: RenameMeter, actor: Annotated[Actor, allowed("meters:write")], stores: OpenStores
) -> Response:
    """Change name or description. The rest is fixed: to count otherwise, create a meter with another slug."""
    _require_names_only(body)
    async with stores.postgres.acting(actor.access) as connection:
        organization_id = actor.tenant.organization_id
        before = await find_meter(connection, organization_id=organization_id, slug=slug)
        row = await rename_meter(
            connection,
            organization_id=organization_id,
            slug=slug,
            name=body.name,
            description=body.description,
        )
        await _record(connection, actor, "rename", before=before, after=row)
    return json_answer(meter_as_json(row))


@router.delete("/{slug}", summary="Archive a meter", response_model=MeterBody, responses=errors(400, 404))
async def archive(slug: Slug, actor: Annotated[Actor, allowed("meters:write")], stores: OpenStores) -> Response:
    """Archive a meter: it reads nothing that arrives from now on; its numbers stay. A second time changes nothing."""
    async with stores.postgres.acting(actor.access) as connection:
        organization_id = actor.tenant.organization_id
        before = await find_meter(connection, organization_id=organization_id, slug=slug)
        row = await archive_meter(connection, organization_id=organization_id, slug=slug, shape=stores.shape)
        await _record(connection, actor, "archive", before=before, after=row)
    return json_answer(meter_as_json(row))


async def _record(
    connection: AsyncConnection, actor: Actor, verb: str, *, before: MeterRow | None = None, after: MeterRow
) -> None:
    """Leave an audit row of what has changed."""
    if before == after:
        return
    await record(
        connection,
        organization_id=actor.tenant.organization_id,
        author=actor.author,
        action=f"meter.{verb}",
        target=("meter", after.slug),
        before=None if before is None else meter_as_json(before),
        after=meter_as_json(after),
    )


def _build(body: CreateMeter, organization_id: str) -> Meter:
    return build_meter(
        id=str(uuid.uuid4()),
        organization_id=organization_id,
        slug=body.slug,
        event_type=body.event_type,
        aggregation=body.aggregation,
        value_property=body.value_property,
        group_by=body.group_by,
        filters=[condition.model_dump() for condition in body.filters or ()],
    )


def _require_names_only(body: RenameMeter) -> None:
    extra = sorted(body.model_extra or {})
    fixed = [name for name in extra if name in _FIXED]
    if fixed:
        raise BusinessLogicError(
            f"{', '.join(fixed)} cannot be changed: old numbers would mean something else, and a replay would count"
            " otherwise. Create a meter with another slug, and archive this one.",
            code="METER_IMMUTABLE",
            fields=fixed,
        )
    if extra or (body.name is None and body.description is None):
        field = extra[0] if extra else "name"
        raise InvalidInput("Send name, description, or both, and nothing else.", field=field)
