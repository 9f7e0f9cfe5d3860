"""Who asks: the credential of `Authorization: Bearer`, and the dependency by which routes say what it must allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.actor import Actor
from api.errors import request_id_of
from api.permissions import Permission
from api.stores import Stores
from runtime.errors import AuthenticationError, InvalidToken
from sinks.postgres.access import Access
from sinks.postgres.api_keys import ApiKey, find_key, hash_secret

__all__ = ["Actor", "KeyCache", "OpenStores", "actor_of", "allowed", "stores_of"]

# A revoked key works on for this long at most.
_CACHE_S: Final = 3.0
_CACHE_KEYS: Final = 10_000

_api_key = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    bearerFormat="ms_…",
    description="An API key made by `meterstream keys create` or `POST /api/v1/api-keys`. Scopes: ingest, read, admin"
    " (includes both); operator.",
)


class KeyCache:
    """Keys that were found, for a few seconds: not each request costs a query, and revoking works almost at once."""

    def __init__(self, *, lifetime_s: float = _CACHE_S, now: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._now = now
        self._known: dict[bytes, tuple[float, ApiKey]] = {}

    async def find(self, stores: Stores, secret: str) -> ApiKey:
        """Return the key with this secret. Raises: InvalidToken."""
        key_hash = hash_secret(secret)
        if key_hash is None:
            raise InvalidToken("This is no API key: they begin with ms_ and have 46 characters.")
        known = self._known.get(key_hash)
        if known is not None and known[0] > self._now():
            return known[1]
        async with stores.postgres.acting(Access()) as connection:
            key = await find_key(connection, key_hash)
        if key is None:
            self._known.pop(key_hash, None)
            raise InvalidToken("This API key is unknown or revoked.")
        if len(self._known) >= _CACHE_KEYS:
            self._known.clear()
        self._known[key_hash] = (self._now() + self._lifetime_s, key)
        return key


async def stores_of(request: Request) -> Stores:
    """Return the stores of the application."""
    stores: Stores = request.app.state.stores
    return stores


async def actor_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_api_key)]
) -> Actor:
    """Return who asks. Raises: AuthenticationError, InvalidToken."""
    if credentials is None:
        raise AuthenticationError("Send `Authorization: Bearer ms_…`; `meterstream keys create` makes a key.")
    keys: KeyCache = request.app.state.keys
    key = await keys.find(await stores_of(request), credentials.credentials)
    return Actor(
        kind="operator" if key.organization_id is None else "key",
        name=f"key {key.prefix}…",
        organization_id=key.organization_id,
        organization=key.organization,
        scopes=frozenset(key.scopes),
        address=_address(request),
        request_id=request_id_of(request.scope),
    )


def allowed(permission: Permission) -> Any:
    """Return the dependency that lets only those pass who have `permission`.

    `actor: Annotated[Actor, allowed("meters:write")]`
    """

    async def permitted(actor: Annotated[Actor, Depends(actor_of)]) -> Actor:
        actor.require(permission)
        return actor

    permitted.__dict__["permission"] = permission
    return Depends(permitted)


def _address(request: Request) -> str | None:
    """Return where the request came from, as Postgres' `inet` takes it."""
    try:
        return None if request.client is None else str(ip_address(request.client.host))
    except ValueError:  # a Unix socket has no address
        return None


OpenStores = Annotated[Stores, Depends(stores_of)]
