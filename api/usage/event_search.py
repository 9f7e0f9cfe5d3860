"""`GET /events`: finds counted events by id, subject and time. They are sent in `events`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.query_parameters import From, Text, To
from api.http.responses import json_answer
from metering.windows import FIRST_INSTANT
from sinks.clickhouse.usage import EventPlace, StoredEvent, find_events
from sinks.clickhouse.window_runs import LAST_STORED

router = APIRouter(prefix=f"{PREFIX}/events", tags=["events"])


class EventBody(BaseModel):
    """A counted event."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    arrival_at: datetime
    partition: int = Field(description="Where it stands in the log.")
    offset: int
    event: dict[str, Any] = Field(description="As it came, byte for byte.")


class _Before(NamedTuple):
    time: datetime
    topic: str
    partition: int
    offset: int


@router.get("", summary="Find events", response_model=Page[EventBody], responses=errors(400))
async def find(
    *,
    actor: Annotated[Actor, allowed("usage:read")],
    stores: OpenStores,
    event_id: Annotated[Text | None, Query(alias="id", description="The event's id.")] = None,
    subject: Annotated[Text | None, Query(description="The event's subject.")] = None,
    from_at: From = None,
    to_at: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Find counted events, newest first by their own time. They show up a second or so after they arrived."""
    before = decode_cursor(cursor, _Before)
    found = await stores.clickhouse.run(
        find_events,
        organization_id=actor.tenant.organization_id,
        event_id=event_id,
        subject=subject,
        from_at=from_at or FIRST_INSTANT,
        to_at=to_at or LAST_STORED,
        before=None if before is None else EventPlace(*before),
        limit=limit + 1,
    )
    return json_answer(page(found, limit, show=_as_json, place=_place))


def _as_json(event: StoredEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.place.time,
        "arrival_at": event.arrival_at,
        "partition": event.place.partition,
        "offset": event.place.offset,
        "event": msgspec.Raw(event.body),
    }


def _place(event: StoredEvent) -> _Before:
    place = event.place
    return _Before(place.time, place.topic, place.partition, place.offset)
