"""`/api-keys`: an organization's keys. Their secrets are shown once, and kept only as hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import NewestFirst, Page
from api.http.request_body import SentBody
from api.http.responses import ExactRoute, json_answer
from api.tenants.members import as_they_are
from runtime.errors import BusinessLogicError
from sinks.postgres.api_keys import ApiKey, count_live_keys, create_key, page_of_keys, revoke_key
from sinks.postgres.audit import record

router = APIRouter(prefix=f"{PREFIX}/api-keys", tags=["api-keys"], route_class=ExactRoute)

TenantScope = Literal["ingest", "read", "admin"]
Id = Annotated[UUID, Path(description="The key's id.")]


class CreateApiKey(SentBody):
    """A new key."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "checkout service", "scopes": ["ingest", "read"]}})

    name: str = Field(min_length=1, max_length=200, description="What it is for.")
    scopes: list[TenantScope] = Field(min_length=1, max_length=3, description="`admin` includes the others.")


class ApiKeyBody(BaseModel):
    """A key without its secret."""

    id: UUID
    name: str = Field(examples=["checkout service"])
    prefix: str = Field(description="How the secret begins.", examples=["ms_4fQ1zT9x"])
    scopes: list[TenantScope]
    created_at: datetime
    revoked_at: datetime | None


class NewApiKey(ApiKeyBody):
    """A key with its secret."""

    key: str = Field(description="Shown only now.")


@router.get("", summary="List API keys", response_model=Page[ApiKeyBody], responses=errors(400))
async def list_all(actor: Annotated[Actor, allowed("keys:read")], stores: OpenStores, listed: NewestFirst) -> Response:
    """List the organization's keys, newest first, also revoked ones."""
    async with stores.postgres.acting(actor.access) as connection:
        rows = await page_of_keys(
            connection,
            organization_id=actor.tenant.organization_id,
            after=listed.listing.after,
            limit=listed.listing.limit,
        )
    return json_answer(listed.page(rows, show=_as_json))


@router.post(
    "", status_code=201, summary="Create an API key", response_model=NewApiKey, responses=errors(400, 413, 422)
)
async def create(
    request: Request, body: CreateApiKey, actor: Annotated[Actor, allowed("keys:write")], stores: OpenStores
) -> Response:
    """Create a key; its secret is in this answer and nowhere else.

    Where METERSTREAM_API__MAX_API_KEYS_EACH keys are not revoked the answer is 422 TOO_MANY_API_KEYS.
    """
    organization_id = actor.tenant.organization_id
    most: int = request.app.state.settings.api.max_api_keys_each
    async with stores.postgres.acting(actor.access) as connection:
        actor = await as_they_are(connection, actor, "keys:write")
        if await count_live_keys(connection, organization_id) >= most:
            raise BusinessLogicError(
                f"The organization has {most} API keys that are not revoked, which is the most: revoke one first.",
                code="TOO_MANY_API_KEYS",
                limit=most,
            )
        row, secret = await create_key(
            connection, organization_id=organization_id, name=body.name, scopes=body.scopes, created_by=actor.name
        )
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="api_key.create",
            target=("api_key", row.id),
            after={"name": row.name, "prefix": row.prefix, "scopes": row.scopes},
        )
    return json_answer({**_as_json(row), "key": secret}, status=201)


@router.delete("/{id}", summary="Revoke an API key", response_model=ApiKeyBody, responses=errors(400))
async def revoke(id: Id, actor: Annotated[Actor, allowed("keys:write")], stores: OpenStores) -> Response:
    """Revoke a key: within seconds it does nothing. A second time changes nothing."""
    async with stores.postgres.acting(actor.access) as connection:
        row = await revoke_key(connection, str(id))
        if row.newly:
            await record(
                connection,
                organization_id=actor.tenant.organization_id,
                author=actor.author,
                action="api_key.revoke",
                target=("api_key", row.id),
                before={"name": row.name, "prefix": row.prefix, "scopes": row.scopes},
            )
    return json_answer(_as_json(row))


def _as_json(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
    }
