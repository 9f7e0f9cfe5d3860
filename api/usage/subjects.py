"""`/subjects`: whose usage was seen."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.responses import json_answer
from sinks.clickhouse.usage import list_subjects

router = APIRouter(prefix=f"{PREFIX}/subjects", tags=["subjects"])


class SubjectBody(BaseModel):
    """A subject that a meter has read."""

    subject: str = Field(examples=["customer-42"])


class _AfterSubject(NamedTuple):
    subject: str


@router.get("", summary="List subjects", response_model=Page[SubjectBody], responses=errors(400))
async def list_all(
    actor: Annotated[Actor, allowed("usage:read")], stores: OpenStores, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the subjects that any meter has read, in order."""
    after = decode_cursor(cursor, _AfterSubject)
    found = await stores.clickhouse.run(
        list_subjects,
        organization_id=actor.tenant.organization_id,
        after=after.subject if after else "",
        limit=limit + 1,
    )
    return json_answer(page(found, limit, show=lambda subject: {"subject": subject}, place=_AfterSubject))
