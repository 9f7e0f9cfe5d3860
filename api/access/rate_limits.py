"""How often one may ask: per key and per person once they are known, per address until then.

A limit that cannot be asked for lets everybody pass: Valkey must not become what stops us.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.actor import Actor
from api.http.documentation import PREFIX
from api.http.errors import request_id_of, respond
from runtime.errors import RateLimited, Unavailable
from runtime.settings import ApiSettings
from runtime.telemetry import Telemetry
from sinks.valkey.rate_limits import SharedLimits, Verdict

# Health is asked by machines of ours. Stripe's webhooks come in bursts, and repeat what we refuse.
_EXEMPT: Final = frozenset({"/healthz", "/readyz", "/metrics", f"{PREFIX}/webhooks/stripe"})
HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_IPV6_PREFIX: Final = 64
"""What one subscriber gets: single addresses of IPv6 are theirs by the billions."""
_KNOWN: Final = 10_000
_CREDENTIAL: Final = "rate_limit_credential"
_ACTOR_COUNTED: Final = "rate_limit_actor_counted"


class RateLimiter:
    """Counts requests: by key or person where the credential is good, else by the address they came from.

    Whether a credential is good, Postgres has to say. So what was not good the last time is counted against the
    address before anything looks at it, and an address that has no more is refused without a further question.
    """

    def __init__(
        self,
        settings: ApiSettings,
        limits: SharedLimits,
        telemetry: Telemetry,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._telemetry = telemetry
        self._now = now
        # Hashes of credentials that were good when they came last.
        self._good: set[bytes] = set()
        # Address → when its next window begins, and what it is told until then.
        self._exhausted: dict[str, tuple[float, Verdict]] = {}

    async def admit(self, scope: Scope) -> None:
        """Count a request against its address, unless its credential was good the last time. Raises: RateLimited."""
        if _credential_of(scope) not in self._good:
            await self._count_address(scope)

    async def count_actor(self, scope: Scope, actor: Actor) -> None:
        """Count a request whose credential is good. Raises: RateLimited."""
        state = scope.setdefault("state", {})
        if _is_exempt(scope) or _ACTOR_COUNTED in state:
            return
        state[_ACTOR_COUNTED] = True
        if (credential := _credential_of(scope)) is not None:
            if len(self._good) >= _KNOWN:
                self._good.clear()  # each is counted against an address once, and known again
            self._good.add(credential)
        if actor.user_id is not None:
            await self._count(scope, self._settings.user_limit, "user", actor.user_id)
        else:
            await self._count(scope, self._settings.key_limit, "key", f"{actor.organization_id} {actor.name}")

    async def settle(self, scope: Scope) -> None:
        """Count what `admit` let pass for its credential, if that was no good now or nobody asked for it."""
        credential = _credential_of(scope)
        if credential in self._good and _ACTOR_COUNTED not in scope["state"]:
            self._good.discard(credential)
            with suppress(RateLimited):  # the next one is refused
                await self._count_address(scope)

    async def _count_address(self, scope: Scope) -> None:
        address = _network_of(scope)
        until, verdict = self._exhausted.get(address, (0.0, None))
        if verdict is not None and (left_s := until - self._now()) > 0:
            scope["state"]["rate_limit"] = verdict = replace(verdict, reset_s=max(1, round(left_s)))
            raise self._refusal(verdict, self._settings.address_limit, "address")
        await self._count(scope, self._settings.address_limit, "address", address)

    async def _count(self, scope: Scope, limit: str, kind: str, who: str) -> None:
        try:
            verdict = await self._limits.count(limit, kind, who)
        except Unavailable:
            self._telemetry.rate_limits_skipped.inc()
            return
        scope["state"]["rate_limit"] = verdict
        if not verdict.exceeded:
            return
        if kind == "address":
            if len(self._exhausted) >= _KNOWN:
                self._exhausted.clear()
            self._exhausted[who] = (self._now() + verdict.reset_s, verdict)
        raise self._refusal(verdict, limit, kind)

    def _refusal(self, verdict: Verdict, limit: str, kind: str) -> RateLimited:
        self._telemetry.rate_limited.labels(kind).inc()
        return RateLimited(
            f"More than {limit.replace('/', ' requests a ')} of this {kind}; wait {verdict.reset_s} s.",
            limit=limit,
            counted=kind,
            retry_after_s=verdict.reset_s,
        )


async def count_actor(request: Request, actor: Actor) -> None:
    """Count a request whose credential is good. Raises: RateLimited."""
    limiter: RateLimiter = request.app.state.rate_limiter
    await limiter.count_actor(request.scope, actor)


class RateLimits:
    """Middleware: refuses what is too much before anything reads it, and tells how much is left."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or _is_exempt(scope):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._limiter.settle(scope)
                if "rate_limit" in state:
                    _tell(MutableHeaders(scope=message), state["rate_limit"])
            await send(message)

        try:
            await self._limiter.admit(scope)
        except RateLimited as error:
            accept = Headers(scope=scope).get("accept", "")
            response = respond(error, request_id=request_id_of(scope), accept=accept)
            await response(scope, receive, tell)
        else:
            await self._app(scope, receive, tell)


def _credential_of(scope: Scope) -> bytes | None:
    """Return what a credential is remembered as: its hash, so that no secret lies about."""
    state = scope["state"]
    if _CREDENTIAL not in state:
        sent = Headers(scope=scope).get("authorization")
        state[_CREDENTIAL] = None if sent is None else hashlib.sha256(sent.encode("latin-1")).digest()
    known: bytes | None = state[_CREDENTIAL]
    return known


def _is_exempt(scope: Scope) -> bool:
    return scope["path"] in _EXEMPT


def _tell(headers: MutableHeaders, verdict: Verdict) -> None:
    for name, number in zip(HEADERS, (verdict.limit, verdict.remaining, verdict.reset_s), strict=True):
        headers[name] = str(number)


def _network_of(scope: Scope) -> str:
    """Return what an address is counted as."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket has no address
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
