"""`/audit-log`: who did what in an organization, from where, before and after."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.query_parameters import Text
from api.http.responses import json_answer
from sinks.postgres.audit import list_audit

router = APIRouter(prefix=f"{PREFIX}/audit-log", tags=["audit-log"])


class AuditBody(BaseModel):
    """One thing that was done. Nothing here is ever changed."""

    id: int
    at: datetime
    actor: str = Field(description="`user <id>`, `key ms_…` or `command line`.", examples=["key ms_4fQ1zT9x…"])
    action: str = Field(examples=["api_key.create"])
    target_kind: str = Field(examples=["api_key"])
    target_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None = Field(description="Where the request came from.", examples=["203.0.113.7"])
    request_id: str


class _BeforeId(NamedTuple):
    id: int


@router.get("", summary="Read the audit log", response_model=Page[AuditBody], responses=errors(400))
async def list_all(
    *,
    actor: Annotated[Actor, allowed("audit:read")],
    stores: OpenStores,
    who: Annotated[Text | None, Query(alias="actor", description="Only what this one did.")] = None,
    action: Annotated[Text | None, Query(description="Only this, such as `api_key.create`.")] = None,
    target: Annotated[Text | None, Query(description="Only what was done to the thing of this id.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Read what was done in the organization, newest first."""
    before = decode_cursor(cursor, _BeforeId)
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_audit(
            connection,
            organization_id=actor.tenant.organization_id,
            before_id=before.id if before else None,
            actor=who,
            action=action,
            target_id=target,
            limit=limit + 1,
        )
    return json_answer(page(rows, limit, show=lambda row: row, place=lambda row: _BeforeId(row.id)))
