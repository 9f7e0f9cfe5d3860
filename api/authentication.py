"""Who asks: the credential of `Authorization: Bearer`, and the dependency by which routes say what it must allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.actor import Actor
from api.errors import request_id_of
from api.idempotency import IdempotencyKey, claim
from api.people import People, unknown_organization
from api.permissions import Permission
from api.rate_limits import count_actor
from api.stores import Stores
from runtime.errors import AuthenticationError, InvalidToken
from sinks.postgres.access import Access
from sinks.postgres.api_keys import ApiKey, find_key, hash_secret

__all__ = ["Actor", "KeyCache", "OpenStores", "Visitor", "actor_of", "allowed", "stores_of"]

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
_token = HTTPBearer(
    auto_error=False,
    scheme_name="Token",
    bearerFormat="JWT",
    description="A token of a person who signed in (`sub`, `email`, `aud`, `exp`), as Supabase Auth makes them. With"
    " the header X-Organization the person acts as a member of that organization, without it as an end user, who sees"
    " what is their own. `meterstream tokens create` makes one for development.",
)
_KEY_START: Final = "ms_"


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


OpenStores = Annotated[Stores, Depends(stores_of)]


async def visitor_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_api_key)],
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_token)],
    x_organization: Annotated[
        str | None,
        Header(
            alias="X-Organization", description="Slug of the organization that a person acts for.", examples=["acme"]
        ),
    ] = None,
) -> Actor | None:
    """Return who asks, or None where nobody says so: for what is public.

    Raises: InvalidToken, ExpiredToken, NotFoundError for another's organization, RateLimited.
    """
    if credentials is None:
        return None
    find = _key_holder if credentials.credentials.startswith(_KEY_START) else _person
    actor = await find(request, credentials.credentials, x_organization)
    await count_actor(request, actor)
    return actor


async def actor_of(visitor: Annotated[Actor | None, Depends(visitor_of)]) -> Actor:
    """Return who asks. Raises: AuthenticationError, and what `visitor_of` raises."""
    if visitor is None:
        raise AuthenticationError("Send `Authorization: Bearer …` with an API key (ms_…) or the token of a person.")
    return visitor


async def _key_holder(request: Request, secret: str, organization: str | None) -> Actor:
    keys: KeyCache = request.app.state.keys
    key = await keys.find(await stores_of(request), secret)
    if organization not in (None, key.organization):
        raise unknown_organization(str(organization))
    return Actor(
        kind="operator" if key.organization_id is None else "key",
        name=f"key {key.prefix}…",
        organization_id=key.organization_id,
        organization=key.organization,
        scopes=frozenset(key.scopes),
        address=_address(request),
        request_id=request_id_of(request.scope),
    )


async def _person(request: Request, token: str, organization: str | None) -> Actor:
    people: People = request.app.state.people
    person, membership = await people.find(await stores_of(request), token, organization)
    return Actor(
        kind="user" if membership is None else "member",
        name=f"user {person.user_id}",
        organization_id=None if membership is None else membership.organization_id,
        organization=None if membership is None else membership.organization,
        user_id=person.user_id,
        email=person.email,
        role=None if membership is None else membership.role,
        address=_address(request),
        request_id=request_id_of(request.scope),
    )


def allowed(permission: Permission) -> Any:
    """Return the dependency that lets only those pass who have `permission`, and a write only once under its key.

    `actor: Annotated[Actor, allowed("meters:write")]`
    """

    async def permitted(actor: Annotated[Actor, Depends(actor_of)]) -> Actor:
        actor.require(permission)
        return actor

    async def permitted_once(
        request: Request,
        actor: Annotated[Actor, Depends(actor_of)],
        stores: OpenStores,
        idempotency_key: IdempotencyKey = None,
    ) -> Actor:
        actor.require(permission)
        await claim(request, stores, actor.access, idempotency_key)
        return actor

    # Events have a meaning of their own for the key: it makes their ids.
    is_write = permission.endswith(":write") and permission != "usage:write"
    dependency = permitted_once if is_write else permitted
    dependency.__dict__["permission"] = permission
    return Depends(dependency)


def _address(request: Request) -> str | None:
    """Return where the request came from, as Postgres' `inet` takes it."""
    try:
        return None if request.client is None else str(ip_address(request.client.host))
    except ValueError:  # a Unix socket has no address
        return None


Visitor = Annotated[Actor | None, Depends(visitor_of)]
"""Of public routes, which show more to who may see more."""
