"""`/organizations`: those a person belongs to, and a new one; `/organization`: the one that is acted for."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.access.memberships import unknown_organization
from api.access.permissions import Role
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.request_body import SentBody
from api.http.responses import ExactRoute, json_answer
from runtime.errors import BusinessLogicError, ConflictError
from runtime.settings import Settings
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.members import add_member, count_owned
from sinks.postgres.organizations import (
    OrganizationRow,
    create_organization,
    find_organization,
    list_organizations_of,
    rename_organization,
)

router = APIRouter(prefix=PREFIX, tags=["organizations"], route_class=ExactRoute)

Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Acme Inc."])]


class CreateOrganization(SentBody):
    """A new organization."""

    model_config = ConfigDict(json_schema_extra={"example": {"slug": "acme", "name": "Acme Inc."}})

    slug: str = Field(
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="Never used again, by nobody.", examples=["acme"]
    )
    name: Name | None = Field(default=None, description="The slug, if missing.")


class RenameOrganization(SentBody):
    """A new name; the slug stays."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Acme Inc."}})

    name: Name


class OrganizationBody(BaseModel):
    """An organization."""

    id: uuid.UUID
    slug: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme Inc."])
    created_at: datetime


class OwnOrganizationBody(OrganizationBody):
    """An organization, and as what one belongs to it."""

    role: Role


class _AfterSlug(NamedTuple):
    slug: str


@router.get(
    "/organizations",
    summary="List one's own",
    response_model=Page[OwnOrganizationBody],
    responses=errors(400),
)
async def list_all(
    actor: Annotated[Actor, allowed("account:read")], stores: OpenStores, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the organizations that a person is a member of, by slug: what X-Organization may name."""
    after = decode_cursor(cursor, _AfterSlug)
    person = actor.person
    async with stores.postgres.acting(Access(user_id=person)) as connection:
        rows = await list_organizations_of(connection, person, after=after.slug if after else "", limit=limit + 1)
    return json_answer(page(rows, limit, show=lambda row: row, place=lambda row: _AfterSlug(row.slug)))


@router.post(
    "/organizations",
    status_code=201,
    summary="Create an organization",
    response_model=OwnOrganizationBody,
    responses=errors(400, 409, 413, 422),
)
async def create(
    request: Request, body: CreateOrganization, actor: Annotated[Actor, allowed("account:write")], stores: OpenStores
) -> Response:
    """Create an organization and become its owner. Its events count from now on.

    Who owns as many as METERSTREAM_API__MAX_ORGANIZATIONS_EACH says is refused with 422 TOO_MANY_ORGANIZATIONS.
    """
    settings: Settings = request.app.state.settings
    if body.slug in (settings.api.organization, settings.worker.default_organization):
        raise ConflictError(
            f"The slug {body.slug!r} is kept for whoever runs this server: take another one.",
            code="ORGANIZATION_RESERVED",
            field="slug",
        )
    organization_id, most = str(uuid.uuid4()), settings.api.max_organizations_each
    # As the person, too: what they own already is theirs to see.
    access = Access(organization_id=organization_id, user_id=actor.person)
    async with stores.postgres.acting(access) as connection:
        # First, since making one holds the log's locks; then again, since two requests may come this far together.
        _require_room(await count_owned(connection, actor.person) + 1, most)
        row = await create_organization(
            connection, slug=body.slug, name=body.name or body.slug, shape=stores.shape, id=organization_id
        )
        await add_member(connection, organization_id=row.id, user_id=actor.person, role="owner")
        _require_room(await count_owned(connection, actor.person), most)
        shown = {**_as_json(row), "role": "owner"}
        await record(
            connection,
            organization_id=row.id,
            author=actor.author,
            action="organization.create",
            target=("organization", row.id),
            after=shown,
        )
    return json_answer(shown, status=201)


@router.get("/organization", summary="Show the organization", response_model=OrganizationBody, responses=errors())
async def show(actor: Annotated[Actor, allowed("organization:read")], stores: OpenStores) -> Response:
    """Show the organization that the key belongs to, or that X-Organization names."""
    async with stores.postgres.acting(actor.access) as connection:
        row = await find_organization(connection, id=actor.tenant.organization_id)
    if row is None:
        raise unknown_organization(actor.tenant.organization)
    return json_answer(_as_json(row))


@router.patch(
    "/organization", summary="Rename the organization", response_model=OrganizationBody, responses=errors(400, 413)
)
async def rename(
    body: RenameOrganization, actor: Annotated[Actor, allowed("organization:write")], stores: OpenStores
) -> Response:
    """Change the organization's name. Its slug stays: events name it."""
    organization_id, slug = actor.tenant
    async with stores.postgres.acting(actor.access) as connection:
        before = await find_organization(connection, id=organization_id)
        if before is None:
            raise unknown_organization(slug)
        row = await rename_organization(connection, organization_id, name=body.name)
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="organization.rename",
            target=("organization", organization_id),
            before={"name": before.name},
            after={"name": row.name},
        )
    return json_answer(_as_json(row))


def _require_room(owned: int, most: int) -> None:
    if owned <= most:
        return
    if most == 0:
        message = "Only whoever runs this server makes organizations here: ask them for one, and for an invitation."
    else:
        message = f"You would own {owned} organizations, and one person may own {most}: make somebody else the owner of"
        message += " one and leave it, or ask whoever runs this server to raise the limit."
    raise BusinessLogicError(message, code="TOO_MANY_ORGANIZATIONS", limit=most)


def _as_json(row: OrganizationRow) -> dict[str, object]:
    return {"id": row.id, "slug": row.slug, "name": row.name, "created_at": row.created_at}
