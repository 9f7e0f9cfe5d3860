"""`/members`: who acts for an organization, and as what. New ones come through `invitations`."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, NamedTuple, get_args
from uuid import UUID

from fastapi import APIRouter, Path
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access.actor import user_name
from api.access.authentication import Actor, OpenStores, allowed
from api.access.memberships import unknown_organization
from api.access.permissions import RULES, Permission, Role
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.request_body import SentBody
from api.http.responses import ExactRoute, json_answer
from runtime.errors import InsufficientPermissions, NotFoundError
from sinks.postgres.api_keys import live_keys_of
from sinks.postgres.audit import record
from sinks.postgres.invitations import InvitationRow, revoke_invitations_of
from sinks.postgres.members import (
    MemberRow,
    change_role,
    has_owner,
    hold_role,
    list_members,
    lock_member,
    remove_member,
)

router = APIRouter(prefix=f"{PREFIX}/members", tags=["members"], route_class=ExactRoute)

UserId = Annotated[
    str,
    Path(min_length=1, max_length=256, description="The user's id.", examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"]),
]


class MemberBody(BaseModel):
    """A member."""

    user_id: str
    email: str | None = Field(description="Of the newest token that named one.")
    role: Role
    created_at: datetime


class LiveKeyBody(BaseModel):
    """A key that works."""

    id: UUID
    name: str = Field(examples=["checkout service"])
    prefix: str = Field(description="How the secret begins.", examples=["ms_4fQ1zT9x"])


class ChangedMemberBody(MemberBody):
    """A member who was changed or removed, and what of theirs goes on."""

    api_keys: list[LiveKeyBody] = Field(
        description="Keys that they made and that still work, where they may make none any more. Programs may need"
        " them, so they are not revoked: do it, if this person knows a secret that they should not have."
    )


class ChangeMember(SentBody):
    """Another role."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "analyst"}})

    role: Role


class _AfterUser(NamedTuple):
    user_id: str


@router.get("", summary="List members", response_model=Page[MemberBody], responses=errors(400))
async def list_all(
    actor: Annotated[Actor, allowed("members:read")], stores: OpenStores, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the members by their ids."""
    after = decode_cursor(cursor, _AfterUser)
    async with stores.postgres.acting(actor.access) as connection:
        rows = await list_members(
            connection,
            organization_id=actor.tenant.organization_id,
            after=after.user_id if after else "",
            limit=limit + 1,
        )
    return json_answer(page(rows, limit, show=lambda row: row, place=lambda row: _AfterUser(row.user_id)))


@router.patch(
    "/{user_id}", summary="Change a member's role", response_model=ChangedMemberBody, responses=errors(400, 413, 422)
)
async def change(
    user_id: UserId, body: ChangeMember, actor: Annotated[Actor, allowed("members:write")], stores: OpenStores
) -> Response:
    """Give a member another role. Only owners make and unmake owners; the last owner stays one.

    Open invitations that they made, and could not make any more, are revoked.
    """
    organization_id = actor.tenant.organization_id
    async with stores.postgres.acting(actor.access) as connection:
        member = await lock_member(
            connection, organization_id=organization_id, user_id=_known(user_id), stays_owner=body.role == "owner"
        )
        actor = await as_they_are(connection, actor, "members:write")
        await require_owner(connection, actor, member.role, body.role)
        await change_role(connection, organization_id=organization_id, user_id=user_id, role=body.role)
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="member.change_role",
            target=("user", user_id),
            before={"role": member.role},
            after={"role": body.role},
        )
        left = await _close_ways_back(connection, actor, member, role=body.role)
    return json_answer({**asdict(member), "role": body.role, "api_keys": left})


@router.delete("/{user_id}", summary="Remove a member", response_model=ChangedMemberBody, responses=errors(400, 422))
async def remove(user_id: UserId, actor: Annotated[Actor, allowed("membership:write")], stores: OpenStores) -> Response:
    """Take a member out of the organization: within seconds their token does nothing here.

    Every member may leave; others are removed by owners and admins. The last owner stays. Open invitations that they
    made, or that name their address, are revoked.
    """
    leaves = user_id == actor.user_id
    if not leaves:
        actor.require("members:write")
    organization_id = actor.tenant.organization_id
    async with stores.postgres.acting(actor.access) as connection:
        member = await lock_member(
            connection, organization_id=organization_id, user_id=_known(user_id), stays_owner=False
        )
        if not leaves:
            actor = await as_they_are(connection, actor, "members:write")
            await require_owner(connection, actor, member.role)
        await remove_member(connection, organization_id=organization_id, user_id=user_id)
        await record(
            connection,
            organization_id=organization_id,
            author=actor.author,
            action="member.remove",
            target=("user", user_id),
            before={"role": member.role},
        )
        left = await _close_ways_back(connection, actor, member, role=None)
    return json_answer({**asdict(member), "api_keys": left})


async def record_revoked(connection: AsyncConnection, actor: Actor, invitation: InvitationRow) -> None:
    """Write down that an invitation was made worthless, and what it would have given."""
    await record(
        connection,
        organization_id=actor.tenant.organization_id,
        author=actor.author,
        action="invitation.revoke",
        target=("invitation", invitation.id),
        before={"email": invitation.email, "role": invitation.role},
    )


async def _close_ways_back(
    connection: AsyncConnection, actor: Actor, member: MemberRow, *, role: str | None
) -> list[dict[str, str]]:
    """Revoke the open invitations by which a member could be more than `role` again; return their keys that work.

    Invitations are for whom they name, and who made them may have named an address of their own.
    """
    organization_id, name = actor.tenant.organization_id, user_name(member.user_id)
    revoked = await revoke_invitations_of(
        connection,
        organization_id=organization_id,
        invited_by=name,
        email=member.email if role is None else None,
        roles=_beyond(role),
    )
    for invitation in revoked:
        await record_revoked(connection, actor, invitation)
    if RULES["keys:write"].allows("member", role=role):
        return []
    keys = await live_keys_of(connection, organization_id=organization_id, created_by=name)
    return [{"id": key.id, "name": key.name, "prefix": key.prefix} for key in keys]


def _beyond(role: str | None) -> list[str]:
    """Return which roles a member with this one may not invite to."""
    if role == "owner":
        return []
    return ["owner"] if RULES["members:write"].allows("member", role=role) else list(get_args(Role))


async def as_they_are(connection: AsyncConnection, actor: Actor, permission: Permission) -> Actor:
    """Return who asks with the role they have now, for a write that would give them a way back.

    Roles are remembered for seconds: whoever was removed a moment ago could make a key, or themselves an owner again.
    Raises: InsufficientPermissions, NotFoundError for who is no member any more.
    """
    if actor.kind != "member":
        return actor
    role = await hold_role(connection, organization_id=actor.tenant.organization_id, user_id=actor.person)
    if role is None:
        raise unknown_organization(actor.tenant.organization)
    now = replace(actor, role=role)
    now.require(permission)
    return now


async def require_owner(connection: AsyncConnection, actor: Actor, *roles: str) -> None:
    """Refuse who is no owner where one of the roles is `owner`.

    Else an admin, or a key that an admin makes, could take an organization over. One that nobody owns yet, since a
    command made it, gets its first owner from a key. Raises: InsufficientPermissions.
    """
    if "owner" not in roles or actor.role == "owner":
        return
    if actor.kind == "key" and not await has_owner(connection, actor.tenant.organization_id):
        return
    raise InsufficientPermissions("Only an owner may make or unmake owners: ask one.", required="owner")


def _known(user_id: str) -> str:
    """Return an id that may be one. Raises: NotFoundError for what Postgres cannot even be asked for."""
    if "\x00" in user_id:
        raise NotFoundError("No such member.", code="MEMBER_NOT_FOUND")
    return user_id
