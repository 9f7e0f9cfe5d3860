"""Members: who may act for an organization, and as what. The last owner cannot go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from runtime.errors import BusinessLogicError, ConflictError, NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL = load("members")


@dataclass(frozen=True, slots=True)
class Membership:
    """As what a person may act in an organization."""

    organization_id: str
    organization: str
    role: str


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as the others see them."""

    user_id: str
    email: str | None
    role: str
    created_at: datetime


async def find_membership(connection: AsyncConnection, *, user_id: str, slug: str) -> Membership | None:
    """Return as what a person may act in an organization; `connection` acts for the person."""
    return await fetch_one(connection, Membership, _SQL["find"], {"user_id": user_id, "slug": slug})


async def list_members(
    connection: AsyncConnection, *, organization_id: str, after: str = "", limit: int = 100
) -> list[MemberRow]:
    """Return members in the order of their ids."""
    return await fetch_all(
        connection, MemberRow, _SQL["list"], {"organization_id": organization_id, "after": after, "limit": limit}
    )


async def has_owner(connection: AsyncConnection, organization_id: str) -> bool:
    """Say whether anybody owns an organization: one that a command made has nobody yet."""
    with translated_errors():
        row = await (await connection.execute(_SQL["owned"], {"organization_id": organization_id})).fetchone()
    return bool(row and row[0])


async def count_owned(connection: AsyncConnection, user_id: str) -> int:
    """Return how many organizations in force a person owns; `connection` acts for the person."""
    with translated_errors():
        row = await (await connection.execute(_SQL["count_owned"], {"user_id": user_id})).fetchone()
    return 0 if row is None else int(row[0])


async def hold_role(connection: AsyncConnection, *, organization_id: str, user_id: str) -> str | None:
    """Return the role that somebody has, which nobody changes until the transaction ends."""
    values = {"organization_id": organization_id, "user_id": user_id}
    with translated_errors():
        row = await (await connection.execute(_SQL["hold_role"], values)).fetchone()
    return None if row is None else str(row[0])


async def add_member(connection: AsyncConnection, *, organization_id: str, user_id: str, role: str) -> None:
    """Make somebody a member. Raises: ConflictError when they are one."""
    values = {"organization_id": organization_id, "user_id": user_id, "role": role}
    with translated_errors():
        row = await (await connection.execute(_SQL["add"], values)).fetchone()
    if row is None:
        raise ConflictError("This person is a member already: change their role instead.", code="ALREADY_A_MEMBER")


async def lock_member(
    connection: AsyncConnection, *, organization_id: str, user_id: str, stays_owner: bool
) -> MemberRow:
    """Return a member, held until the transaction ends, to be changed or removed.

    Raises: NotFoundError; BusinessLogicError for the last owner, unless they stay one.
    """
    rows = await fetch_all(
        connection, MemberRow, _SQL["lock"], {"organization_id": organization_id, "user_id": user_id}
    )
    found = next((row for row in rows if row.user_id == user_id), None)
    if found is None:
        raise NotFoundError(f"No member {user_id[:300]!r}.", code="MEMBER_NOT_FOUND")
    if found.role == "owner" and not stays_owner and sum(row.role == "owner" for row in rows) == 1:
        raise BusinessLogicError(
            "This is the last owner: make somebody else an owner first.", code="LAST_OWNER", user_id=user_id
        )
    return found


async def change_role(connection: AsyncConnection, *, organization_id: str, user_id: str, role: str) -> None:
    """Give a member, who is locked, another role."""
    values = {"organization_id": organization_id, "user_id": user_id, "role": role}
    with translated_errors():
        await connection.execute(_SQL["change_role"], values)


async def remove_member(connection: AsyncConnection, *, organization_id: str, user_id: str) -> None:
    """Remove a member, who is locked."""
    with translated_errors():
        await connection.execute(_SQL["remove"], {"organization_id": organization_id, "user_id": user_id})
