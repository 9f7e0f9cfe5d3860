"""`/meters/{slug}/query` and `/meters/{slug}/group-by/{key}/values`: a meter's exact numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.query_parameters import From, Text, To
from api.http.responses import json_answer
from api.stores import Stores
from api.usage.meters import Slug
from metering.meters import Meter, build_meter
from metering.numbers import canonical_text
from metering.times import LOG_LIMITS
from metering.windows import WindowSize
from runtime.errors import InvalidInput
from sinks.clickhouse.usage import UsageRow, list_group_values, query_meter
from sinks.postgres.meters import MeterRow, find_meter

router = APIRouter(prefix=PREFIX + "/meters/{slug}", tags=["meters"])

_GROUP_FILTER = re.compile(r"filter_group_by\[([A-Za-z0-9_]{1,63})\]")
_MAX_FILTER_VALUES: Final = 100
_MAX_FILTER_CHARS: Final = 256
_CSV: Final = "text/csv"
# How far an event's time may lie from its arrival: nothing a meter counted can be outside of this.
_PAST: Final = timedelta(milliseconds=LOG_LIMITS.past_ms)
_FUTURE: Final = timedelta(milliseconds=LOG_LIMITS.future_ms)

GroupKey = Annotated[str, Path(pattern="^[A-Za-z_][A-Za-z0-9_]{0,62}$", description="A name of the meter's group_by.")]


class UsageBody(BaseModel):
    """One number."""

    value: str = Field(description="Exact, as a decimal text.", examples=["1250.5"])
    window_start: datetime
    window_end: datetime = Field(description="Exclusive.")
    subject: str | None = Field(description="Only when grouped by subject, or asked for one.")
    group_by: dict[str, str]


class QueryAnswer(BaseModel):
    """A meter's numbers, by window, subject and groups; windows without events are left out."""

    meter: str
    from_: datetime = Field(serialization_alias="from", validation_alias="from")
    to: datetime
    window_size: WindowSize | None
    window_time_zone: str
    data: list[UsageBody]


class _AfterValue(NamedTuple):
    value: str


_FILTER_PARAMETER: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "filter_group_by",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "description": "`filter_group_by[model]=small`; repeat a name for one of several values.",
            "schema": {"type": "object", "additionalProperties": {"type": "string", "maxLength": _MAX_FILTER_CHARS}},
        }
    ]
}


@router.get(
    "/query",
    summary="Read a meter's numbers",
    response_model=QueryAnswer,
    response_model_by_alias=True,
    responses={**errors(400, 404), 200: {"content": {_CSV: {"schema": {"type": "string"}}}}},
    openapi_extra=_FILTER_PARAMETER,
)
async def query(
    *,
    request: Request,
    slug: Slug,
    actor: Annotated[Actor, allowed("usage:read")],
    stores: OpenStores,
    from_at: From = None,
    to_at: To = None,
    window_size: Annotated[WindowSize | None, Query(description="Missing: one window, from `from` to `to`.")] = None,
    window_time_zone: Annotated[str, Query(max_length=64, description="IANA name; DST is respected.")] = "UTC",
    subject: Annotated[list[Text] | None, Query(max_length=100, description="Repeat for several.")] = None,
    group_by: Annotated[
        list[Text] | None, Query(max_length=17, description="Names of the meter's group_by, or `subject`.")
    ] = None,
    output: Annotated[Literal["json", "csv"] | None, Query(alias="format", description="Or Accept: text/csv.")] = None,
) -> Response:
    """Read exact numbers: the same as in Postgres, a second or so after an event arrived.

    Without `from` and `to`: everything that the meter ever counted.
    """
    meter, row = await _find(stores, actor, slug)
    from_at = from_at or row.effective_at - _PAST
    to_at = to_at or stores.clock() + _FUTURE
    groups = list(dict.fromkeys(group_by or ()))
    rows = await stores.clickhouse.run(
        query_meter,
        meter,
        organization_id=actor.tenant.organization_id,
        from_at=from_at,
        to_at=to_at,
        window_size=window_size,
        window_time_zone=window_time_zone,
        subjects=subject or (),
        group_by=groups,
        filter_group_by=_group_filters(request.query_params),
    )
    if output == "csv" or (output is None and _CSV in request.headers.get("accept", "")):
        return _as_csv(slug, rows, groups)
    return json_answer(
        {
            "meter": slug,
            "from": from_at,
            "to": to_at,
            "window_size": window_size,
            "window_time_zone": window_time_zone,
            "data": [_as_json(row) for row in rows],
        }
    )


@router.get(
    "/group-by/{key}/values",
    summary="List the values of a group",
    response_model=Page[str],
    responses=errors(400, 404),
)
async def values(
    *,
    slug: Slug,
    key: GroupKey,
    actor: Annotated[Actor, allowed("usage:read")],
    stores: OpenStores,
    from_at: From = None,
    to_at: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List what a group has been, in order; "" stands for events without it. Whole quarter hours are looked at."""
    meter, row = await _find(stores, actor, slug)
    after = decode_cursor(cursor, _AfterValue)
    found = await stores.clickhouse.run(
        list_group_values,
        meter,
        key,
        organization_id=actor.tenant.organization_id,
        from_at=from_at or row.effective_at - _PAST,
        to_at=to_at or stores.clock() + _FUTURE,
        after=None if after is None else after.value,
        limit=limit + 1,
    )
    return json_answer(page(found, limit, show=str, place=_AfterValue))


async def _find(stores: Stores, actor: Actor, slug: str) -> tuple[Meter, MeterRow]:
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_meter(connection, organization_id=actor.tenant.organization_id, slug=slug)
    meter = build_meter(
        id=row.id,
        organization_id=actor.tenant.organization_id,
        slug=row.slug,
        event_type=row.event_type,
        aggregation=row.aggregation,
        value_property=row.value_property,
        group_by=row.group_paths(),
        filters=row.conditions(),
    )
    return meter, row


def _group_filters(parameters: QueryParams) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for name, value in parameters.multi_items():
        if not name.startswith("filter_group_by"):
            continue
        match = _GROUP_FILTER.fullmatch(name)
        if match is None:
            raise InvalidInput(f"{name[:80]!r} should be filter_group_by[name]", field="filter_group_by")
        if len(value) > _MAX_FILTER_CHARS or "\x00" in value:
            raise InvalidInput(f"{name} must have at most {_MAX_FILTER_CHARS} characters", field="filter_group_by")
        filters.setdefault(match[1], []).append(value)
    if any(len(values) > _MAX_FILTER_VALUES for values in filters.values()):
        raise InvalidInput(f"At most {_MAX_FILTER_VALUES} values a group.", field="filter_group_by")
    return filters


def _as_json(row: UsageRow) -> dict[str, Any]:
    return {
        "value": _value(row),
        "window_start": row.window_start,
        "window_end": row.window_end,
        "subject": row.subject,
        "group_by": row.group_by,
    }


def _value(row: UsageRow) -> str:
    return canonical_text(Decimal(row.value))


def _as_csv(slug: str, rows: Sequence[UsageRow], groups: Sequence[str]) -> Response:
    names = [name for name in groups if name != "subject"]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["window_start", "window_end", "subject", *names, "value"])
    for row in rows:
        cells = [row.subject or "", *_ordered(row.group_by, names)]
        window = [row.window_start.isoformat(), row.window_end.isoformat()]
        table.writerow([*window, *map(_harmless, cells), _value(row)])
    return Response(
        text.getvalue(),
        media_type=_CSV,
        headers={"Content-Disposition": f'attachment; filename="{slug}.csv"'},
    )


def _ordered(groups: Mapping[str, str], names: Sequence[str]) -> list[str]:
    return [groups[name] for name in names]


def _harmless(cell: str) -> str:
    """Keep a spreadsheet from taking a tenant's text for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
