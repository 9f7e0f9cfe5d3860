"""Who asks: the credential of `Authorization: Bearer`, and the dependency by which routes say what it must allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from api.access.actor import Actor, user_name
from api.access.memberships import People, unknown_organization
from api.access.permissions import Permission
from api.access.rate_limits import count_actor
from api.http.errors import request_id_of
from api.http.idempotency import IdempotencyKey, claim
from api.http.query_parameters import require_known_parameters
from api.stores import Stores
from runtime.errors import AuthenticationError, InvalidToken
from sinks.postgres.access import Access
from sinks.postgres.api_keys import ApiKey, find_key, hash_secret

__all__ = ["Actor", "KeyCache", "OpenStores", "Permitted", "Visitor", "allowed", "stores_of"]

# A revoked key works on for this long at most.
_CACHE_S: Final = 3.0
_CACHE_KEYS: Final = 10_000

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
            raise InvalidToken("This API key is unknown or revoked: make another one with POST /api/v1/api-keys.")
        if len(self._known) >= _CACHE_KEYS:
            self._known.clear()
        self._known[key_hash] = (self._now() + self._lifetime_s, key)
        return key


async def stores_of(request: Request) -> Stores:
    """Return the stores of the application."""
    stores: Stores = request.app.state.stores
    return stores


OpenStores = Annotated[Stores, Depends(stores_of)]
_Organization = Annotated[
    str | None,
    Header(alias="X-Organization", description="Slug of the organization that a person acts for.", examples=["acme"]),
]


class _Credential(SecurityBase):
    """Dependency: who asks, or None where nobody says so. All in one: each dependency more costs every request.

    Raises: InvalidToken, ExpiredToken, NotFoundError for another's organization, RateLimited.
    """

    def __init__(self) -> None:
        self.scheme_name = "Credential"
        self.model = HTTPBearerModel(
            description="An API key (`ms_…`) made by `meterstream keys create` or `POST /api/v1/api-keys`; scopes:"
            " ingest, read, admin (includes both); operator. Or a token (JWT) of a person who signed in (`sub`,"
            " `email`, `aud`, `exp`), as Supabase Auth makes them: with the header X-Organization the person acts as a"
            " member of that organization, without it as an end user, who sees what is their own. `meterstream tokens"
            " create` makes one for development."
        )

    async def __call__(self, request: Request, organization: _Organization = None) -> Actor | None:
        actor = await _find(request, organization)
        if actor is not None:
            await count_actor(request, actor)
        return actor


class _Visiting(_Credential):
    """Dependency: who asks, of a public route."""

    async def __call__(self, request: Request, organization: _Organization = None) -> Actor | None:
        actor = await super().__call__(request, organization)
        require_known_parameters(request)
        return actor


class Permitted(_Credential):
    """Dependency: who asks, who has a permission. Raises: AuthenticationError, InsufficientPermissions."""

    def __init__(self, permission: Permission) -> None:
        super().__init__()
        self.permission = permission

    async def __call__(self, request: Request, organization: _Organization = None) -> Actor:
        actor = _require(await super().__call__(request, organization), self.permission)
        require_known_parameters(request)
        return actor


class _PermittedOnce(Permitted):
    """Dependency: the same for a write, which is done once under its key."""

    async def __call__(
        self, request: Request, organization: _Organization = None, idempotency_key: IdempotencyKey = None
    ) -> Actor:
        actor = await super().__call__(request, organization)
        member = actor.user_id if actor.kind == "member" else None
        await claim(request, await stores_of(request), actor.access, idempotency_key, member=member)
        return actor


def allowed(permission: Permission) -> Any:
    """Return the dependency that lets only those pass who have `permission`, and a write only once under its key.

    `actor: Annotated[Actor, allowed("meters:write")]`
    """
    # Events have a meaning of their own for the key: it makes their ids.
    is_write = permission.endswith(":write") and permission != "usage:write"
    return Depends(_PermittedOnce(permission) if is_write else Permitted(permission))


async def look_again(request: Request, permission: Permission) -> Actor:
    """Return who sent a request that is still being answered, as they are now.

    Raises: InvalidToken, ExpiredToken, NotFoundError, InsufficientPermissions for who may not have the rest.
    """
    return _require(await _find(request, request.headers.get("x-organization")), permission)


async def _find(request: Request, organization: str | None) -> Actor | None:
    scheme, credential = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not credential:
        return None
    find = _key_holder if credential.startswith(_KEY_START) else _person
    return await find(request, credential, organization)


def _require(actor: Actor | None, permission: Permission) -> Actor:
    if actor is None:
        raise AuthenticationError(
            "Send `Authorization: Bearer …` with an API key (ms_…; `meterstream keys create` or POST /api/v1/api-keys"
            " makes one) or the token of a person who signed in."
        )
    actor.require(permission)
    return actor


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
        name=user_name(person.user_id),
        organization_id=None if membership is None else membership.organization_id,
        organization=None if membership is None else membership.organization,
        user_id=person.user_id,
        email=person.email,
        role=None if membership is None else membership.role,
        address=_address(request),
        request_id=request_id_of(request.scope),
    )


def _address(request: Request) -> str | None:
    """Return where the request came from, as Postgres' `inet` takes it."""
    try:
        return None if request.client is None else str(ip_address(request.client.host))
    except ValueError:  # a Unix socket has no address
        return None


Visitor = Annotated[Actor | None, Depends(_Visiting())]
"""Of public routes, which show more to who may see more."""
