"""How often one may ask: per key and per person once they are known, per address until then.

A limit that cannot be asked for lets everybody pass: Valkey must not become what stops us.
"""

from __future__ import annotations

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
_IPV6_PREFIX: Final = 64
"""What one subscriber gets: single addresses of IPv6 are theirs by the billions."""


class RateLimiter:
    """Counts a request once: against who sent it if that is known, else against the address it came from."""

    def __init__(self, settings: ApiSettings, limits: SharedLimits, telemetry: Telemetry) -> None:
        self._settings = settings
        self._limits = limits
        self._telemetry = telemetry

    async def count_actor(self, scope: Scope, actor: Actor) -> None:
        """Count a request whose credential is good. Raises: RateLimited."""
        if _is_exempt(scope) or "rate_limit_counted" in scope.get("state", {}):
            return
        if actor.user_id is not None:
            await self._count(scope, self._settings.user_limit, "user", actor.user_id)
        else:
            await self._count(scope, self._settings.key_limit, "key", f"{actor.organization_id} {actor.name}")

    async def count_address(self, scope: Scope) -> None:
        """Count a request of nobody. Raises: RateLimited."""
        await self._count(scope, self._settings.address_limit, "address", _network_of(scope))

    async def _count(self, scope: Scope, limit: str, kind: str, who: str) -> None:
        state = scope.setdefault("state", {})
        state["rate_limit_counted"] = True
        try:
            verdict = await self._limits.count(limit, kind, who)
        except Unavailable:
            self._telemetry.rate_limits_skipped.inc()
            return
        state["rate_limit"] = verdict
        if verdict.exceeded:
            self._telemetry.rate_limited.labels(kind).inc()
            raise RateLimited(
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
    """Middleware: counts what no route has counted, refuses what is too much, and tells how much is left."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or _is_exempt(scope):
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        if b"authorization" in dict(scope["headers"]) or await self._may_pass(answer):
            await self._app(scope, receive, lambda message: self._send(answer, message))

    async def _send(self, answer: _Answer, message: Message) -> None:
        starts = message["type"] == "http.response.start"
        if starts and "rate_limit_counted" not in answer.scope["state"] and not await self._may_pass(answer):
            # A credential that was no good, or that nobody asked for; what was to be said is dropped.
            answer.refused = True
        if not answer.refused:
            await answer.send(message)

    async def _may_pass(self, answer: _Answer) -> bool:
        try:
            await self._limiter.count_address(answer.scope)
        except RateLimited as error:
            await answer.refuse(error)
            return False
        return True


class _Answer:
    """What goes out to one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.refused = False
        self._receive = receive
        self._send = send
        scope.setdefault("state", {})

    async def send(self, message: Message) -> None:
        """Send on, with what a count has said."""
        if message["type"] == "http.response.start" and "rate_limit" in self.scope["state"]:
            _tell(MutableHeaders(scope=message), self.scope["state"]["rate_limit"])
        await self._send(message)

    async def refuse(self, error: RateLimited) -> None:
        """Send 429 instead."""
        accept = Headers(scope=self.scope).get("accept", "")
        response = respond(error, request_id=request_id_of(self.scope), accept=accept)
        await response(self.scope, self._receive, self.send)


def _is_exempt(scope: Scope) -> bool:
    return scope["path"] in _EXEMPT


def _tell(headers: MutableHeaders, verdict: Verdict) -> None:
    headers["RateLimit-Limit"] = str(verdict.limit)
    headers["RateLimit-Remaining"] = str(verdict.remaining)
    headers["RateLimit-Reset"] = str(verdict.reset_s)


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
