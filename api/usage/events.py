"""`/events`: takes usage events, and finds them again."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.actor import Tenant
from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.usage.event_requests import BATCH, ONE, PLAIN, read_events, read_idempotency_key
from metering.http_events import HttpEvent, check_for_http
from metering.partitions import home_partition
from metering.records import ORGANIZATION_HEADER
from metering.rejections import Rejection
from runtime.errors import InvalidInput
from runtime.telemetry import Telemetry
from sinks.kafka.producer import OutgoingRecord

router = APIRouter(prefix=f"{PREFIX}/events", tags=["events"])

_JSON = msgspec.json.Encoder()
# 65,536 subjects with their hash are ~10 MB and spare 2 µs an event.
_home = lru_cache(maxsize=65_536)(home_partition)

_EVENT: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "req-8c1f",
    "source": "checkout",
    "type": "llm.request",
    "subject": "customer-42",
    "time": "2026-11-23T12:00:00Z",
    "data": {"tokens": "1250", "model": "small"},
}
_EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A CloudEvent 1.0 in JSON mode, at most 1,000,000 bytes. Stored byte for byte as it came.",
    "required": ["id", "type", "subject"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0", "description": "May be missing in application/json."},
        "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "Unique within source and subject for 36 days: that is how repeats are known. May be missing"
            " with an Idempotency-Key; it is then `{key}#{index}`.",
        },
        "source": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "May be missing in application/json; it is then `http`.",
        },
        "type": {"type": "string", "minLength": 1, "maxLength": 256, "description": "What happened; meters read it."},
        "subject": {"type": "string", "minLength": 1, "maxLength": 256, "description": "Whose usage it is."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 with a zone. Missing: the arrival. From 35 days back to 5 minutes ahead.",
        },
        "data": {"type": "object", "description": "Numbers: at most 15 integer and 18 fraction digits."},
        "authorization": {"type": "string", "description": "A hold that this event uses up."},
        "organization": {"type": "string", "description": "If named, it must be the key's."},
    },
}
_BATCH_SCHEMA: Final[dict[str, Any]] = {"type": "array", "maxItems": 1000, "items": _EVENT_SCHEMA}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            PLAIN: {
                "schema": {"oneOf": [_EVENT_SCHEMA, _BATCH_SCHEMA]},
                "example": {
                    "id": "req-8c1f",
                    "type": "llm.request",
                    "subject": "customer-42",
                    "data": {"tokens": 1250},
                },
            },
            ONE: {"schema": _EVENT_SCHEMA, "example": _EVENT},
            BATCH: {"schema": _BATCH_SCHEMA, "example": [_EVENT]},
        },
    }
}


class RejectedEvent(BaseModel):
    """An event of the request that was not taken; sending it again unchanged does not help."""

    index: int = Field(description="Its place in the request, from 0.")
    id: str | None = Field(description="Its id, where one could be read.")
    code: str = Field(examples=["MISSING_FIELD"])
    message: str = Field(examples=["subject is missing"])


class IngestAnswer(BaseModel):
    """What became of each event: those that are not listed as rejected are stored."""

    accepted: int = Field(description="Stored: confirmed by every in-sync replica.", examples=[99])
    rejected: list[RejectedEvent]


@router.post(
    "",
    summary="Send usage events",
    response_model=IngestAnswer,
    responses=errors(400, 413, 415, 429),
    openapi_extra=_BODY,
)
async def ingest(
    request: Request,
    actor: Annotated[Actor, allowed("usage:write")],
    stores: OpenStores,
    idempotency_key: Annotated[str | None, Header(description="Lets events come without ids.", max_length=249)] = None,
) -> Response:
    """Send one event or up to 1,000, in up to 5 MB (also gzipped).

    The answer comes when every accepted event is stored. An array is answered with 200 even if all its events are
    rejected: read `rejected`. A single event that is rejected is answered with 400 and the reason as error code.
    503 and 429 mean that not all events are stored: send the whole request again, repeats are counted once.
    """
    settings, telemetry = request.app.state.settings.api, request.app.state.telemetry
    content_type = request.headers.get("content-type", PLAIN)
    events = read_events(await request.body(), content_type, max_events=settings.max_events)
    now_ms = int(stores.clock().timestamp() * 1000)
    records, rejected = _check(
        events.bodies,
        actor.tenant,
        now_ms=now_ms,
        plain=events.plain,
        idempotency_key=read_idempotency_key(idempotency_key),
        partitions=stores.shape.partitions,
    )
    await stores.producer.send_all(records)
    _account(telemetry, len(records), rejected)
    if rejected and not events.is_batch:
        (_, rejection) = rejected[0]
        raise InvalidInput(rejection.message, code=str(rejection.code), index=0, id=rejection.event_id)
    answer = {"accepted": len(records), "rejected": [_as_json(index, rejection) for index, rejection in rejected]}
    return Response(_JSON.encode(answer), media_type="application/json")


def _check(
    bodies: list[bytes], tenant: Tenant, *, now_ms: int, plain: bool, idempotency_key: str | None, partitions: int
) -> tuple[list[OutgoingRecord], list[tuple[int, Rejection]]]:
    records: list[OutgoingRecord] = []
    rejected: list[tuple[int, Rejection]] = []
    headers = [(ORGANIZATION_HEADER, tenant.organization.encode())]
    for index, body in enumerate(bodies):
        fallback_id = None if idempotency_key is None else f"{idempotency_key}#{index}"
        checked = check_for_http(
            body, organization=tenant.organization, now_ms=now_ms, fallback_id=fallback_id, plain=plain
        )
        if isinstance(checked, HttpEvent):
            subject = checked.event.subject
            records.append(OutgoingRecord(_home(subject, partitions), subject.encode(), checked.body, headers))
        else:
            rejected.append((index, checked))
    return records, rejected


def _account(telemetry: Telemetry, accepted: int, rejected: list[tuple[int, Rejection]]) -> None:
    telemetry.events_accepted.inc(accepted)
    for _, rejection in rejected:
        telemetry.events_rejected.labels(str(rejection.code)).inc()


def _as_json(index: int, rejection: Rejection) -> dict[str, Any]:
    return {"index": index, "id": rejection.event_id, "code": str(rejection.code), "message": rejection.message}
