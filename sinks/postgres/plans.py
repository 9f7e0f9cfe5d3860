"""Plans as people make them: one row per version. What was sold once never changes but for its names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from billing.plan_document import read_plans
from billing.plans import Plan
from runtime.errors import ConflictError, NotFoundError
from sinks.postgres.listing import NEWEST, Listing
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

_SQL: Final = load("plans")
PlanState = Literal["draft", "active", "archived"]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A version of a plan; `document` is JSON text, since its numbers must not become floats."""

    id: str
    organization_id: str
    slug: str
    version: int
    name: str
    state: PlanState
    document: str
    stripe_product_id: str | None
    stripe_prices: dict[str, str]
    """Price slug → Stripe's id."""
    created_at: datetime
    activated_at: datetime | None
    archived_at: datetime | None

    def sent(self) -> dict[str, Any]:
        """Return the document as it was sent, fractions as Decimal."""
        document: dict[str, Any] = json.loads(self.document, parse_float=Decimal)
        return document

    def plan(self) -> Plan:
        """Return the plan."""
        (plan,) = read_plans({"plans": [{**self.sent(), "version": self.version}]})
        return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFilters:
    """What a list of plans is narrowed by."""

    organization_id: str
    states: list[PlanState]
    slug: str | None = None
    currency: str | None = None
    """One price in it, and of that interval, is enough."""
    interval: str | None = None


async def find_organization_id(connection: AsyncConnection, slug: str) -> str | None:
    """Return the id of an organization in force, whoever asks: its plans are public."""
    with translated_errors():
        cursor = await connection.execute(_SQL["organization_named"], {"slug": slug})
        found = await cursor.fetchone()
    return found[0] if found else None


async def create_plan(
    connection: AsyncConnection, *, organization_id: str, slug: str, name: str, document: Mapping[str, Any]
) -> PlanRow:
    """Keep a draft. Raises: ConflictError where the slug is in use."""
    values = {"organization_id": organization_id, "slug": slug, "name": name, "document": _text(document)}
    row = await _one(connection, "create", values)
    if row is None:
        raise _exists(slug)
    return row


async def require_new_slug(connection: AsyncConnection, slug: str, *, organization_id: str) -> None:
    """Let pass a slug that no draft and no active plan has. Raises: ConflictError."""
    values = {"id": None, "slug": slug, "organization_id": organization_id}
    row = await _one(connection, "find_by_slug", values)
    if row is not None and row.state != "archived":
        raise _exists(slug)


async def find_plan(
    connection: AsyncConnection,
    *,
    id: str | None = None,
    slug: str = "",
    organization_id: str | None = None,
) -> PlanRow:
    """Return a plan by id, or an organization's by slug: the version that is sold, else the newest.

    Raises: NotFoundError.
    """
    values = {"id": id, "slug": slug, "organization_id": organization_id}
    row = await _one(connection, "find_by_slug" if id is None else "find", values)
    if row is None:
        raise NotFoundError(f"No plan {id or slug!r}.", code="PLAN_NOT_FOUND")
    return row


async def list_plans(
    connection: AsyncConnection, filters: PlanFilters, *, after: tuple[str, int] = ("", 0), limit: int = 100
) -> list[PlanRow]:
    """Return plans by slug and version, those after `after`."""
    values = {**asdict(filters), "after_slug": after[0], "after_version": after[1], "limit": limit}
    return await _all(connection, "list_by_slug", values)


async def list_plans_by_creation(
    connection: AsyncConnection, filters: PlanFilters, listing: Listing = NEWEST
) -> list[PlanRow]:
    """Return a page of plans, by when each version was made."""
    return await _all(connection, listing.statement, {**asdict(filters), **listing.values()})


async def rewrite_plan(connection: AsyncConnection, row: PlanRow, *, name: str, document: Mapping[str, Any]) -> PlanRow:
    """Change a draft, or the names of what is sold. Raises: ConflictError when it moved on meanwhile."""
    values = {"id": row.id, "state": row.state, "name": name, "document": _text(document)}
    return await _one(connection, "rewrite", values) or _moved(row)


async def activate_plan(
    connection: AsyncConnection, row: PlanRow, *, stripe_product_id: str, stripe_prices: Mapping[str, str]
) -> PlanRow:
    """Sell a draft that was published at Stripe. Raises: ConflictError when it moved on meanwhile."""
    values = {
        "id": row.id,
        "document": row.document,
        "stripe_product_id": stripe_product_id,
        "stripe_prices": Jsonb(dict(stripe_prices)),
    }
    return await _one(connection, "activate", values) or _moved(row)


async def succeed_plan(
    connection: AsyncConnection,
    row: PlanRow,
    *,
    name: str,
    document: Mapping[str, Any],
    stripe_product_id: str,
    stripe_prices: Mapping[str, str],
) -> PlanRow:
    """Sell a new version instead of the one that is sold; within a transaction.

    Raises: ConflictError when it moved on meanwhile.
    """
    if await _one(connection, "archive", {"id": row.id}) is None:
        _moved(row)
    values = {
        "id": row.id,
        "name": name,
        "document": _text(document),
        "stripe_product_id": stripe_product_id,
        "stripe_prices": Jsonb(dict(stripe_prices)),
    }
    return await _one(connection, "succeed", values) or _moved(row)


async def archive_plan(connection: AsyncConnection, row: PlanRow) -> PlanRow:
    """Sell it no more; subscriptions keep it. Archived already: as it is."""
    return await _one(connection, "archive", {"id": row.id}) or await find_plan(connection, id=row.id)


def plan_changed(slug: str) -> ConflictError:
    """Return what is said to the later one of two who change a plan at once."""
    return ConflictError(
        f"The plan {slug} was changed by another request meanwhile: read it, and send your change again.",
        code="PLAN_CHANGED",
    )


async def _one(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> PlanRow | None:
    return await fetch_one(connection, PlanRow, _SQL[statement], values)


async def _all(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> list[PlanRow]:
    # Never prepared: a plan for any filters would use the index of none.
    return await fetch_all(connection, PlanRow, _SQL[statement], values, prepare=False)


def _exists(slug: str) -> ConflictError:
    message = f"A plan {slug!r} exists: change it with PATCH, or archive it first."
    return ConflictError(message, code="PLAN_EXISTS", field="slug")


def _text(document: Mapping[str, Any]) -> str:
    return msgspec.json.encode(document).decode()


def _moved(row: PlanRow) -> PlanRow:
    raise plan_changed(row.slug)
