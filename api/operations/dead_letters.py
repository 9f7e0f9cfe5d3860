"""`/dead-letters`: what could not be used, with its reason and raw bytes; mended and re-driven, or discarded."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.responses import json_answer
from api.operations.redriving import deciding, record_decision, redrive
from api.stores import Stores
from runtime.errors import InvalidInput, NotFoundError
from sinks.postgres.dead_letters import (
    RECORD_LEVEL,
    DeadLetterId,
    DeadLetterRow,
    discard_dead_letter,
    find_dead_letter,
    list_dead_letters,
)

router = APIRouter(prefix=f"{PREFIX}/dead-letters", tags=["dead-letters"])

_MAX_REASON: Final = 1000

T = TypeVar("T")

State = Literal["open", "redriving", "redriven", "discarded"]
Id = Annotated[
    str,
    Path(
        max_length=400,
        description="`topic-partition-offset`, and `-meter` for one meter's.",
        examples=["usage.events.v1-3-10452"],
    ),
]


class DeadLetterBody(BaseModel):
    """A record that could not be used, or one meter's reading of an event that counts elsewhere."""

    id: str = Field(examples=["usage.events.v1-3-10452"])
    code: str = Field(examples=["TIME_TOO_OLD"])
    message: str
    organization: str | None = Field(description="Null: of nobody known; operators see these.")
    meter: str | None = Field(description="The meter that could not read its value; null: the whole record.")
    event_id: str | None
    arrival_at: datetime
    raw_bytes: int = Field(description="How large the record is.")
    state: State = Field(description="`redriving`: begun, and not known to be in the log; re-drive it again.")
    reason: str | None = Field(description="Why it was discarded.")
    decided_by: str | None
    decided_at: datetime | None


class WholeDeadLetter(DeadLetterBody):
    """A dead letter with its bytes."""

    raw_base64: str = Field(description="The record's first 64 KB.")
    raw_text: str | None = Field(description="The same, if it is UTF-8.")
    raw_truncated: bool


class _Redrive(msgspec.Struct, forbid_unknown_fields=True):
    event: msgspec.Raw = msgspec.Raw(b"")
    organization: str | None = None


class _Discard(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


class _Before(NamedTuple):
    arrival_at: datetime
    id: str


_REDRIVE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "event": {"type": "object", "description": "The corrected event; missing: as it came."},
                        "organization": {
                            "type": ["string", "null"],
                            "description": "Operators: whose event it is, where that is unknown.",
                        },
                    },
                },
                "example": {
                    "event": {
                        "specversion": "1.0",
                        "id": "req-8c1f",
                        "source": "checkout",
                        "type": "llm.request",
                        "subject": "customer-42",
                        "data": {"tokens": 12},
                    }
                },
            }
        },
    }
}
_DISCARD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["reason"],
                    "properties": {"reason": {"type": "string", "minLength": 1, "maxLength": _MAX_REASON}},
                },
                "example": {"reason": "A test event."},
            }
        },
    }
}


@router.get("", summary="List dead letters", response_model=Page[DeadLetterBody], responses=errors(400))
async def list_all(
    *,
    actor: Annotated[Actor, allowed("dead_letters:read")],
    stores: OpenStores,
    state: Annotated[State | None, Query(description="Missing: all.")] = None,
    code: Annotated[str | None, Query(pattern="^[A-Z_]{1,64}$", description="Only those of this reason.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List dead letters, newest first. Tenants see theirs, operators all."""
    before = decode_cursor(cursor, _Before)
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_dead_letters(
            connection,
            organization_id=actor.organization_id,
            state=state,
            code=code,
            after=None if before is None else (before.arrival_at, _parse_in_cursor(before.id)),
            limit=limit + 1,
        )
    return json_answer(page(rows, limit, show=_as_json, place=lambda row: _Before(row.arrival_at, str(row.id))))


@router.get("/{id}", summary="Show a dead letter", response_model=WholeDeadLetter, responses=errors(400, 404))
async def show(id: Id, actor: Annotated[Actor, allowed("dead_letters:read")], stores: OpenStores) -> Response:
    """Show a dead letter with its bytes and reason."""
    row, raw = await _find(stores, DeadLetterId.parse(id), actor)
    return json_answer(
        {
            **_as_json(row),
            "raw_base64": base64.b64encode(raw).decode(),
            "raw_text": _as_text(raw),
            "raw_truncated": row.raw_bytes > len(raw),
        }
    )


@router.post(
    "/{id}/redrive",
    summary="Send a dead letter again",
    response_model=DeadLetterBody,
    responses=errors(400, 404, 409, 413, 422, 429),
    openapi_extra=_REDRIVE_BODY,
)
async def send_again(
    id: Id,
    request: Request,
    actor: Annotated[Actor, allowed("dead_letters:write")],
    stores: OpenStores,
) -> Response:
    """Produce a record again, corrected or as it came; its id is free, since it never counted.

    422 when it would be rejected again, and for one meter's dead letter: that event counts elsewhere and its id is
    taken, so send a correcting event under a new id, and discard this one.
    """
    key = DeadLetterId.parse(id)
    wanted = _decode(await request.body() or b"{}", _Redrive)
    event = bytes(wanted.event) or None
    row, raw = await _find(stores, key, actor)
    await redrive(stores, actor, row, raw, event=event, organization=wanted.organization)
    row, _ = await _find(stores, key, actor)
    return json_answer(_as_json(row))


@router.post(
    "/{id}/discard",
    summary="Discard a dead letter",
    response_model=DeadLetterBody,
    responses=errors(400, 404, 413, 422),
    openapi_extra=_DISCARD_BODY,
)
async def discard(
    id: Id,
    request: Request,
    actor: Annotated[Actor, allowed("dead_letters:write")],
    stores: OpenStores,
) -> Response:
    """Decide that nothing is to be done, and say why. Nothing is deleted; a second time changes nothing."""
    key = DeadLetterId.parse(id)
    reason = _decode(await request.body(), _Discard).reason
    if not 1 <= len(reason) <= _MAX_REASON or "\x00" in reason:
        raise InvalidInput(f"reason must have 1 to {_MAX_REASON} characters, none of them NUL", field="reason")
    before, _ = await _find(stores, key, actor)
    owner = before.organization_id
    async with stores.postgres.acting(deciding(actor, owner)) as connection:
        await discard_dead_letter(connection, key, reason=reason, decided_by=actor.name)
        if before.state != "discarded":
            await record_decision(connection, actor, before, "discard", organization_id=owner, reason=reason)
    row, _ = await _find(stores, key, actor)
    return json_answer(_as_json(row))


async def _find(stores: Stores, key: DeadLetterId, actor: Actor) -> tuple[DeadLetterRow, bytes]:
    async with stores.postgres.acting(actor.access) as connection:
        return await find_dead_letter(connection, key, organization_id=actor.organization_id)


def _decode(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The body does not fit: {exc}", field="body") from exc


def _parse_in_cursor(text: str) -> DeadLetterId:
    try:
        return DeadLetterId.parse(text)
    except NotFoundError as exc:
        raise InvalidInput("cursor: send `next_cursor` of the page before, unchanged", field="cursor") from exc


def _as_json(row: DeadLetterRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "code": row.code,
        "message": row.message,
        "organization": row.organization,
        "meter": row.meter if row.meter_id != RECORD_LEVEL else None,
        "event_id": row.event_id,
        "arrival_at": row.arrival_at,
        "raw_bytes": row.raw_bytes,
        "state": row.state,
        "reason": row.reason,
        "decided_by": row.decided_by,
        "decided_at": row.decided_at,
    }


def _as_text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
