"""Meters as people make them: created and archived at a place of the log, renamed at will. Workers read `catalogue`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import class_row

from metering.meters import Meter, filter_as_json
from runtime.errors import ConflictError, NotFoundError
from sinks.postgres.catalogue_changes import LogShape, catalogue_change
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL = load("meters")
# Decimals as JSON numbers, digit for digit.
_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter as it is stored; `group_by` and `filters` are JSON texts, since their numbers must not become floats."""

    id: str
    slug: str
    name: str
    description: str
    event_type: str
    aggregation: str
    value_property: str | None
    group_by: str
    filters: str
    effective_at: datetime
    archived_at: datetime | None

    def group_paths(self) -> dict[str, str]:
        """Return name to path."""
        paths: dict[str, str] = json.loads(self.group_by)
        return paths

    def conditions(self) -> list[dict[str, Any]]:
        """Return the filters, fractions as Decimal."""
        conditions: list[dict[str, Any]] = json.loads(self.filters, parse_float=Decimal)
        return conditions


async def create_meter(
    connection: AsyncConnection, meter: Meter, *, name: str, description: str, shape: LogShape
) -> MeterRow:
    """Create a meter of `meter.organization_id`; it reads events from where the log stands now.

    Raises: ConflictError when the slug is or was in use.
    """
    values = {
        "organization_id": meter.organization_id,
        "slug": meter.slug,
        "name": name,
        "description": description,
        "event_type": meter.event_type,
        "aggregation": str(meter.aggregation),
        "value_property": meter.value_property,
        "group_by": _JSON.encode(dict(meter.group_by)).decode(),
        "filters": _JSON.encode([filter_as_json(condition) for condition in meter.filters]).decode(),
    }
    async with (
        catalogue_change(connection, shape) as positions,
        connection.cursor(row_factory=class_row(MeterRow)) as cursor,
    ):
        await cursor.execute(_SQL["create"], {**values, "positions": positions})
        row = await cursor.fetchone()
        if row is None:
            raise ConflictError(
                f"A meter {meter.slug!r} exists, or existed: a slug means one thing for ever. Take another.",
                code="METER_EXISTS",
                field="slug",
            )
        return row


async def list_meters(
    connection: AsyncConnection, *, organization_id: str, after: str = "", limit: int = 100, archived: bool = False
) -> list[MeterRow]:
    """Return meters in the order of their slugs, those after `after`; archived ones only if asked for."""
    values = {"organization_id": organization_id, "after": after, "limit": limit, "archived": archived}
    return await fetch_all(connection, MeterRow, _SQL["list"], values)


async def find_meter(connection: AsyncConnection, *, organization_id: str, slug: str) -> MeterRow:
    """Return a meter, archived or not. Raises: NotFoundError."""
    row = await fetch_one(connection, MeterRow, _SQL["find"], {"organization_id": organization_id, "slug": slug})
    if row is None:
        raise _not_found(slug)
    return row


async def rename_meter(
    connection: AsyncConnection, *, organization_id: str, slug: str, name: str | None, description: str | None
) -> MeterRow:
    """Change name and description, the only things that may change. Raises: NotFoundError."""
    values = {"organization_id": organization_id, "slug": slug, "name": name, "description": description}
    row = await fetch_one(connection, MeterRow, _SQL["rename"], values)
    if row is None:
        raise _not_found(slug)
    return row


async def archive_meter(connection: AsyncConnection, *, organization_id: str, slug: str, shape: LogShape) -> MeterRow:
    """Archive a meter: it reads nothing from here on, and what it counted stays. Archived already: as it is.

    Raises: NotFoundError.
    """
    known = await find_meter(connection, organization_id=organization_id, slug=slug)
    if known.archived_at is not None:
        return known
    async with (
        catalogue_change(connection, shape) as positions,
        connection.cursor(row_factory=class_row(MeterRow)) as cursor,
    ):
        values = {"organization_id": organization_id, "slug": slug, "positions": positions}
        await cursor.execute(_SQL["archive"], values)
        row = await cursor.fetchone()
    # No row: another request archived it in between.
    return row or await find_meter(connection, organization_id=organization_id, slug=slug)


def _not_found(slug: str) -> NotFoundError:
    return NotFoundError(f"No meter {slug!r}.", code="METER_NOT_FOUND")
