"""Who asks: API keys from `Authorization: Bearer`, what they may do, and the dependencies that routes declare.

`admin` includes `read` and `ingest`. Operators' keys belong to no organization: they see what belongs to no tenant, and
nothing that only a tenant may touch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.stores import Stores
from runtime.errors import AuthenticationError, InsufficientPermissions, InvalidToken
from sinks.postgres.api_keys import OPERATOR_SCOPE, ApiKey, find_key, hash_secret

# A revoked key works on for this long at most.
_CACHE_S: Final = 3.0
_CACHE_KEYS: Final = 10_000

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    bearerFormat="ms_…",
    description="An API key made by `meterstream keys create`. Scopes: ingest, read, admin (includes both); operator.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a key."""

    key_prefix: str
    organization_id: str | None
    organization: str | None
    scopes: frozenset[str]

    @property
    def is_operator(self) -> bool:
        """Say whether the key belongs to no organization."""
        return self.organization_id is None

    def may(self, scope: str) -> bool:
        """Say whether the key has a scope, by itself or within admin."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def name(self) -> str:
        """Return how decisions name who took them."""
        return f"key {self.key_prefix}…"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization that asks for what is its own."""

    organization_id: str
    organization: str
    caller: Caller


class KeyCache:
    """Keys that were found, for a few seconds: not each request costs a query, and revoking works almost at once."""

    def __init__(self, *, lifetime_s: float = _CACHE_S, now: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._now = now
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def find(self, stores: Stores, secret: str) -> Caller:
        """Return whose secret it is. Raises: InvalidToken."""
        key_hash = hash_secret(secret)
        if key_hash is None:
            raise InvalidToken("This is no API key: they begin with ms_ and have 46 characters.")
        known = self._known.get(key_hash)
        if known is not None and known[0] > self._now():
            return known[1]
        async with stores.postgres.connection() as connection:
            key = await find_key(connection, key_hash)
        if key is None:
            self._known.pop(key_hash, None)
            raise InvalidToken("This API key is unknown or revoked.")
        caller = _caller(key)
        if len(self._known) >= _CACHE_KEYS:
            self._known.clear()
        self._known[key_hash] = (self._now() + self._lifetime_s, caller)
        return caller


def _caller(key: ApiKey) -> Caller:
    return Caller(key.prefix, key.organization_id, key.organization, frozenset(key.scopes))


async def stores_of(request: Request) -> Stores:
    """Return the stores of the application."""
    stores: Stores = request.app.state.stores
    return stores


async def caller_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    """Return who asks. Raises: AuthenticationError, InvalidToken."""
    if credentials is None:
        raise AuthenticationError("Send `Authorization: Bearer ms_…`; `meterstream keys create` makes a key.")
    keys: KeyCache = request.app.state.keys
    return await keys.find(await stores_of(request), credentials.credentials)


def _tenant_with(scope: str) -> Callable[..., Awaitable[Tenant]]:
    async def tenant(caller: Annotated[Caller, Depends(caller_of)]) -> Tenant:
        if caller.organization_id is None or caller.organization is None:
            raise InsufficientPermissions("An operator's key has no organization; use one of its own.", required=scope)
        _require(caller, scope)
        return Tenant(caller.organization_id, caller.organization, caller)

    return tenant


def _caller_with(scope: str) -> Callable[..., Awaitable[Caller]]:
    async def caller_with_scope(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not caller.is_operator:
            _require(caller, scope)
        return caller

    return caller_with_scope


async def _operator(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    if not caller.is_operator:
        raise InsufficientPermissions("Only operators' keys may do this.", required=OPERATOR_SCOPE)
    return caller


def _require(caller: Caller, scope: str) -> None:
    if not caller.may(scope):
        raise InsufficientPermissions(f"This key lacks the scope {scope}.", required=scope)


OpenStores = Annotated[Stores, Depends(stores_of)]
IngestingTenant = Annotated[Tenant, Depends(_tenant_with("ingest"))]
ReadingTenant = Annotated[Tenant, Depends(_tenant_with("read"))]
AdminTenant = Annotated[Tenant, Depends(_tenant_with("admin"))]
Reader = Annotated[Caller, Depends(_caller_with("read"))]
"""A tenant with the scope read, or an operator."""
Admin = Annotated[Caller, Depends(_caller_with("admin"))]
"""A tenant with the scope admin, or an operator."""
Operator = Annotated[Caller, Depends(_operator)]
