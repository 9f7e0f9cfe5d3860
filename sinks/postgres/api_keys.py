"""API keys: 256 random bits, kept as their SHA-256, shown once."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from runtime.errors import ConflictError, InvalidInput, NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

TENANT_SCOPES: Final = ("ingest", "read", "admin")
OPERATOR_SCOPE: Final = "operator"

_SQL = load("api_keys")
_SECRET = re.compile(r"ms_[A-Za-z0-9_-]{43}")
# "ms_" and 8 of 43 characters: enough to tell keys apart, 208 of 256 bits stay secret.
_PREFIX_LENGTH = 11


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. An operator's key has no organization."""

    id: str
    organization_id: str | None
    organization: str | None
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class RevokedKey(ApiKey):
    """A key that does not work any more."""

    newly: bool
    """Revoked now, and not before."""


def hash_secret(secret: str) -> bytes | None:
    """Return what is stored of a secret, or None for a text that cannot be one.

    Looking up by this hash needs no constant-time comparison: nobody can steer a SHA-256 towards a stored one.
    """
    return hashlib.sha256(secret.encode()).digest() if _SECRET.fullmatch(secret) else None


async def create_key(
    connection: AsyncConnection, *, organization_id: str | None, name: str, scopes: Sequence[str], created_by: str = ""
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which is not kept.

    Raises: InvalidInput for scopes that do not fit the kind of key.
    """
    allowed = (OPERATOR_SCOPE,) if organization_id is None else TENANT_SCOPES
    if not scopes or not set(scopes) <= set(allowed):
        raise InvalidInput(f"scopes must be one or more of {', '.join(allowed)}", field="scopes")
    if not 1 <= len(name) <= 200 or "\x00" in name:
        raise InvalidInput("name must have 1 to 200 characters", field="name")
    secret = f"ms_{secrets.token_urlsafe(32)}"
    row = await fetch_one(
        connection,
        ApiKey,
        _SQL["create"],
        {
            "organization_id": organization_id,
            "name": name,
            "prefix": secret[:_PREFIX_LENGTH],
            "key_hash": hash_secret(secret),
            "scopes": sorted(set(scopes)),
            "created_by": created_by,
        },
    )
    assert row is not None
    return row, secret


async def count_live_keys(connection: AsyncConnection, organization_id: str) -> int:
    """Return how many keys of an organization work; nobody else counts until the transaction ends."""
    values = {"organization_id": organization_id}
    with translated_errors():
        await connection.execute(_SQL["hold_organization"], values)
        row = await (await connection.execute(_SQL["count_live"], values)).fetchone()
    return 0 if row is None else int(row[0])


async def find_key(connection: AsyncConnection, key_hash: bytes) -> ApiKey | None:
    """Return the key with this hash if it works."""
    return await fetch_one(connection, ApiKey, _SQL["find"], {"key_hash": key_hash})


async def list_keys(connection: AsyncConnection, *, organization: str | None = None) -> list[ApiKey]:
    """Return the keys of an organization, or all, oldest first."""
    return await fetch_all(connection, ApiKey, _SQL["list"], {"organization": organization})


async def page_of_keys(
    connection: AsyncConnection, *, organization_id: str, after: tuple[datetime, str] | None = None, limit: int = 100
) -> list[ApiKey]:
    """Return an organization's keys, revoked ones too, newest first."""
    after_at, after_id = after or (None, None)
    values = {"organization_id": organization_id, "after_at": after_at, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, ApiKey, _SQL["page"], values)


async def live_keys_of(connection: AsyncConnection, *, organization_id: str, created_by: str) -> list[ApiKey]:
    """Return the keys that somebody made in an organization and that still work, oldest first."""
    values = {"organization_id": organization_id, "created_by": created_by}
    return await fetch_all(connection, ApiKey, _SQL["live_of"], values)


async def revoke_key(connection: AsyncConnection, key: str) -> RevokedKey:
    """Revoke a key, named by its id or prefix; processes that cached it notice within seconds.

    Raises: NotFoundError; ConflictError when two keys share the prefix (nothing is revoked then).
    """
    with translated_errors():
        async with connection.transaction(), connection.cursor(row_factory=class_row(RevokedKey)) as cursor:
            await cursor.execute(_SQL["revoke"], {"key": key})
            rows = await cursor.fetchall()
            if len(rows) > 1:
                raise ConflictError(f"Several keys begin with {key}: name it by id.")
    if not rows:
        raise NotFoundError(f"No key has the id or prefix {key!r}.", code="API_KEY_NOT_FOUND")
    return rows[0]
