"""`/invitations`: how somebody becomes a member: a secret, shown once, accepted under the address it was made for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.access.permissions import Role
from api.http.documentation import PREFIX, errors
from api.http.paging import NewestFirst, Page
from api.http.request_body import SentBody
from api.http.responses import ExactRoute, json_answer
from api.tenants.members import as_they_are, record_revoked, require_owner
from runtime.errors import AuthorizationError
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.invitations import (
    HeldInvitation,
    accept_invitation,
    create_invitation,
    find_invitation,
    list_invitations,
    revoke_invitation,
)
from sinks.postgres.members import add_member

router = APIRouter(prefix=f"{PREFIX}/invitations", tags=["members"], route_class=ExactRoute)

Id = Annotated[UUID, Path(description="The invitation's id.")]


class Invite(SentBody):
    """Whom to invite, and as what."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com", "role": "analyst"}})

    email: str = Field(
        min_length=3, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$", description="Their token must name it."
    )
    role: Role


class AcceptInvitation(SentBody):
    """The secret of an invitation."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"token": "inv_rb8qzX0v1wP8yFqv2mT3c4n5k6J7h8G9f0D1s2A3z4Q"}}
    )

    token: str = Field(min_length=1, max_length=200)


class InvitationBody(BaseModel):
    """An invitation without its secret."""

    id: UUID
    email: str = Field(examples=["ada@example.com"])
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime = Field(description="A week after it was made.")
    accepted_at: datetime | None
    revoked_at: datetime | None


class NewInvitation(InvitationBody):
    """An invitation with its secret."""

    token: str = Field(description="Shown only now: send it to whom you invite.")


class JoinedBody(BaseModel):
    """What one has become a member of."""

    organization: str = Field(description="Its slug, for X-Organization.", examples=["acme"])
    role: Role


@router.get("", summary="List invitations", response_model=Page[InvitationBody], responses=errors(400))
async def list_all(
    actor: Annotated[Actor, allowed("members:read")], stores: OpenStores, listed: NewestFirst
) -> Response:
    """List invitations, newest first, also those that were accepted or revoked."""
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_invitations(
            connection,
            organization_id=actor.tenant.organization_id,
            after=listed.listing.after,
            limit=listed.listing.limit,
        )
    return json_answer(listed.page(rows, show=lambda row: row))


@router.post("", status_code=201, summary="Invite somebody", response_model=NewInvitation, responses=errors(400, 413))
async def create(body: Invite, actor: Annotated[Actor, allowed("members:write")], stores: OpenStores) -> Response:
    """Make an invitation; its secret is in this answer and nowhere else. Only owners invite owners."""
    organization_id = actor.tenant.organization_id
    async with stores.postgres.acting(actor.access) as connection:
        actor = await as_they_are(connection, actor, "members:write")
        await require_owner(connection, actor, body.role)
        row, secret = await create_invitation(
            connection, organization_id=organization_id, email=body.email, role=body.role, invited_by=actor.name
        )
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="invitation.create",
            target=("invitation", row.id),
            after={"email": row.email, "role": row.role},
        )
    return json_answer({**asdict(row), "token": secret}, status=201)


@router.delete("/{id}", summary="Revoke an invitation", response_model=InvitationBody, responses=errors(400))
async def revoke(id: Id, actor: Annotated[Actor, allowed("members:write")], stores: OpenStores) -> Response:
    """Make an invitation worthless. A second time changes nothing; one that was accepted is no longer found."""
    organization_id = actor.tenant.organization_id
    async with stores.postgres.acting(actor.access) as connection:
        row = await revoke_invitation(connection, organization_id=organization_id, invitation_id=str(id))
        if row.newly:
            await record_revoked(connection, actor, row)
    shown = asdict(row)
    del shown["newly"]
    return json_answer(shown)


@router.post("/accept", summary="Accept an invitation", response_model=JoinedBody, responses=errors(400, 409, 413, 422))
async def accept(
    body: AcceptInvitation, actor: Annotated[Actor, allowed("account:write")], stores: OpenStores
) -> Response:
    """Join the organization that one was invited to; the token of the caller must name the invited address."""
    async with stores.postgres.acting(Access()) as connection:
        invitation = await find_invitation(connection, body.token)
    _require_invited(actor, invitation)
    organization_id = invitation.organization_id
    async with stores.postgres.acting(Access(organization_id=organization_id)) as connection:
        await accept_invitation(connection, invitation, user_id=actor.person)
        await add_member(connection, organization_id=organization_id, user_id=actor.person, role=invitation.role)
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="invitation.accept",
            target=("invitation", invitation.id),
            after={"user_id": actor.person, "role": invitation.role},
        )
    return json_answer({"organization": invitation.organization, "role": invitation.role})


def _require_invited(actor: Actor, invitation: HeldInvitation) -> None:
    if actor.email is None or actor.email.casefold() != invitation.email.casefold():
        raise AuthorizationError(
            "This invitation was made for another e-mail address: sign in under that one.",
            code="INVITED_UNDER_ANOTHER_EMAIL",
        )
