"""Invitations: 256 random bits, kept as their SHA-256, shown once; whoever holds them may join under their address."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import AsyncConnection

from runtime.errors import InvalidStateTransition, NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL = load("invitations")
_LIFETIME: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation without its secret."""

    id: str
    email: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class RevokedInvitation(InvitationRow):
    """An invitation that is worthless."""

    newly: bool
    """Revoked now, and not before."""


@dataclass(frozen=True, slots=True)
class HeldInvitation:
    """An invitation as whoever holds its secret sees it."""

    id: str
    organization_id: str
    organization: str
    email: str
    role: str
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None


async def create_invitation(
    connection: AsyncConnection, *, organization_id: str, email: str, role: str, invited_by: str
) -> tuple[InvitationRow, str]:
    """Create an invitation and return it with its secret, which is not kept."""
    secret = f"inv_{secrets.token_urlsafe(32)}"
    values = {
        "organization_id": organization_id,
        "email": email,
        "role": role,
        "token_hash": _hash(secret),
        "invited_by": invited_by,
        "lifetime": _LIFETIME,
    }
    row = await fetch_one(connection, InvitationRow, _SQL["create"], values)
    assert row is not None
    return row, secret


async def list_invitations(
    connection: AsyncConnection, *, organization_id: str, after: tuple[datetime, str] | None = None, limit: int = 100
) -> list[InvitationRow]:
    """Return an organization's invitations, newest first."""
    after_at, after_id = after or (None, None)
    values = {"organization_id": organization_id, "after_at": after_at, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, InvitationRow, _SQL["list"], values)


async def revoke_invitation(
    connection: AsyncConnection, *, organization_id: str, invitation_id: str
) -> RevokedInvitation:
    """Make an invitation worthless. Raises: NotFoundError, also for one that was accepted."""
    row = await fetch_one(
        connection, RevokedInvitation, _SQL["revoke"], {"organization_id": organization_id, "id": invitation_id}
    )
    if row is None:
        raise NotFoundError("No such invitation waits for its answer.", code="INVITATION_NOT_FOUND")
    return row


async def revoke_invitations_of(
    connection: AsyncConnection, *, organization_id: str, invited_by: str, roles: Sequence[str], email: str | None
) -> list[InvitationRow]:
    """Make open invitations worthless: those that somebody made for these roles, and those that name `email`."""
    values = {"organization_id": organization_id, "invited_by": invited_by, "roles": list(roles), "email": email}
    return await fetch_all(connection, InvitationRow, _SQL["revoke_of"], values)


async def find_invitation(connection: AsyncConnection, secret: str) -> HeldInvitation:
    """Return the invitation with this secret, whatever became of it. Raises: NotFoundError."""
    row = await fetch_one(connection, HeldInvitation, _SQL["find"], {"token_hash": _hash(secret)})
    if row is None:
        raise NotFoundError("No such invitation: ask for a new one.", code="INVITATION_NOT_FOUND")
    return row


async def accept_invitation(connection: AsyncConnection, invitation: HeldInvitation, *, user_id: str) -> None:
    """Use an invitation up. Raises: InvalidStateTransition when it was used, revoked or has expired."""
    values = {"organization_id": invitation.organization_id, "id": invitation.id, "user_id": user_id}
    with translated_errors():
        row = await (await connection.execute(_SQL["accept"], values)).fetchone()
    if row is None:
        raise InvalidStateTransition(
            "This invitation was used or revoked, or is older than a week: ask for a new one.",
            code="INVITATION_NOT_OPEN",
        )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
