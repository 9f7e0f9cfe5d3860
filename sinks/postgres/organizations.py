"""Organizations: the tenants. They begin and end at a place of the log."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import class_row

from runtime.errors import ConflictError, InvalidInput, NotFoundError
from sinks.postgres.catalogue_changes import LogShape, catalogue_change
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL = load("organizations")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organization as people see it."""

    id: str
    slug: str
    name: str
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class OwnOrganization:
    """An organization as one of its members lists it."""

    id: str
    slug: str
    name: str
    role: str
    created_at: datetime


async def create_organization(
    connection: AsyncConnection,
    *,
    slug: str,
    name: str,
    shape: LogShape,
    id: str | None = None,
) -> OrganizationRow:
    """Create an organization; its events count from where the log stands now.

    `id` where `connection` acts for the organization that is to be. Raises: InvalidInput, ConflictError when the slug
    is or was in use.
    """
    if _SLUG.fullmatch(slug) is None:
        raise InvalidInput("slug must be 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit", field="slug")
    _require_name(name)
    async with (
        catalogue_change(connection, shape) as positions,
        connection.cursor(row_factory=class_row(OrganizationRow)) as cursor,
    ):
        values = {"id": id or str(uuid.uuid4()), "slug": slug, "name": name, "positions": positions}
        await cursor.execute(_SQL["create"], values)
        row = await cursor.fetchone()
        if row is None:
            raise ConflictError(f"An organization {slug!r} exists already.", code="ORGANIZATION_EXISTS", field="slug")
        return row


async def find_organization(
    connection: AsyncConnection,
    *,
    slug: str | None = None,
    id: str | None = None,
) -> OrganizationRow | None:
    """Return an organization by slug or by id, archived or not."""
    return await fetch_one(
        connection, OrganizationRow, _SQL["find" if id is None else "find_by_id"], {"slug": slug, "id": id}
    )


async def rename_organization(connection: AsyncConnection, organization_id: str, *, name: str) -> OrganizationRow:
    """Change what people call an organization. Raises: InvalidInput, NotFoundError."""
    _require_name(name)
    row = await fetch_one(connection, OrganizationRow, _SQL["rename"], {"id": organization_id, "name": name})
    if row is None:
        raise NotFoundError("No such organization.", code="ORGANIZATION_NOT_FOUND")
    return row


async def list_organizations_of(
    connection: AsyncConnection, user_id: str, *, after: str = "", limit: int = 100
) -> list[OwnOrganization]:
    """Return the organizations that a person is a member of, by slug."""
    return await fetch_all(
        connection, OwnOrganization, _SQL["list_of_user"], {"user_id": user_id, "after": after, "limit": limit}
    )


async def archive_organization(connection: AsyncConnection, *, slug: str, shape: LogShape) -> OrganizationRow:
    """Archive an organization: its keys stop, and events from here on are dead letters.

    Raises: NotFoundError when there is none in force.
    """
    async with (
        catalogue_change(connection, shape) as positions,
        connection.cursor(row_factory=class_row(OrganizationRow)) as cursor,
    ):
        await cursor.execute(_SQL["archive"], {"slug": slug, "positions": positions})
        row = await cursor.fetchone()
        if row is None:
            raise NotFoundError(f"No organization {slug!r} is in force.")
        return row


def _require_name(name: str) -> None:
    if not 1 <= len(name) <= 200 or "\x00" in name:
        raise InvalidInput("name must have 1 to 200 characters", field="name")
