"""Organizations: the tenants. They begin and end at a place of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import class_row

from runtime.errors import ConflictError, InvalidInput, NotFoundError
from sinks.postgres.catalogue_changes import LogShape, catalogue_change
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

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


async def create_organization(connection: AsyncConnection, *, slug: str, name: str, shape: LogShape) -> OrganizationRow:
    """Create an organization; its events count from where the log stands now.

    Raises: InvalidInput, ConflictError when the slug is or was in use.
    """
    if _SLUG.fullmatch(slug) is None:
        raise InvalidInput("slug must be 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit", field="slug")
    if not 1 <= len(name) <= 200 or "\x00" in name:
        raise InvalidInput("name must have 1 to 200 characters", field="name")
    async with (
        catalogue_change(connection, shape) as positions,
        connection.cursor(row_factory=class_row(OrganizationRow)) as cursor,
    ):
        await cursor.execute(_SQL["create"], {"slug": slug, "name": name, "positions": positions})
        row = await cursor.fetchone()
        if row is None:
            raise ConflictError(f"An organization {slug!r} exists already.", field="slug")
        return row


async def find_organization(
    connection: AsyncConnection,
    *,
    slug: str | None = None,
    id: str | None = None,  # noqa: A002 - the field's name
) -> OrganizationRow | None:
    """Return an organization by slug or by id, archived or not."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(OrganizationRow)) as cursor:
            await cursor.execute(_SQL["find" if id is None else "find_by_id"], {"slug": slug, "id": id})
            return await cursor.fetchone()


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
