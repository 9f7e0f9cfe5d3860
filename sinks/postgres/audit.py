"""The audit log: who did what, from where, before and after. A row is written in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL = load("audit")
# Decimals as JSON numbers, digit for digit.
_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Author:
    """Who did it, and from where."""

    name: str
    address: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done."""

    id: int
    at: datetime
    actor: str
    action: str
    target_kind: str
    target_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None
    request_id: str


async def record(
    connection: AsyncConnection,
    *,
    organization_id: str,
    author: Author,
    action: str,
    target: tuple[str, str],
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what the open transaction does; `connection` acts for the organization.

    `action` is `noun.verb`, `target` (kind, id). `before` and `after` are JSON-ready and hold no secret.
    """
    values = {
        "organization_id": organization_id,
        "actor": author.name,
        "action": action,
        "target_kind": target[0],
        "target_id": target[1],
        "before": _json(before),
        "after": _json(after),
        "address": author.address,
        "request_id": author.request_id,
    }
    with translated_errors():
        await connection.execute(_SQL["record"], values)


async def list_audit(
    connection: AsyncConnection,
    *,
    organization_id: str,
    before_id: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    target_id: str | None = None,
    limit: int = 100,
) -> list[AuditRow]:
    """Return what was done in an organization, newest first."""
    values = {
        "organization_id": organization_id,
        "before_id": before_id,
        "actor": actor,
        "action": action,
        "target_id": target_id,
        "limit": limit,
    }
    return await fetch_all(connection, AuditRow, _SQL["list"], values)


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else _JSON.encode(dict(value)).decode()
