"""Answers that are the same for everybody, given before any routing: the public plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.documentation import PREFIX
from runtime.telemetry import Telemetry
from sinks.valkey.cache import Copy, Place, SharedCache

PLANS: Final = "plans"
"""The group of the public plans: `stores.cache.forget(PLANS)` after a change has committed."""

_PATHS: Final = {PLANS: (f"{PREFIX}/plans", f"{PREFIX}/plans/{{id}}")}
_LONGEST_QUERY: Final = 500
# Whoever keeps an answer asks whether it is still right: `forget` does not reach browsers and proxies.
_REVALIDATE: Final = (b"cache-control", b"public, no-cache")
_WHO: Final = frozenset({b"authorization", b"cookie"})


class CachedRoute:
    """A path whose GET answers nobody in particular."""

    def __init__(self, group: str, path: str) -> None:
        self.group = group
        self.path = path
        """As metrics name it, like a route's."""
        self.pattern = compile_path(path)[0]


class CachedAnswers:
    """Middleware: answers a GET without a credential from a copy, and keeps what the application answers.

    Copies of this process cost less than counting them would: they are given before rate limits.
    """

    def __init__(self, app: ASGIApp, *, cache: SharedCache, telemetry: Telemetry) -> None:
        self._app = app
        self._cache = cache
        self._telemetry = telemetry
        self._routes: Sequence[CachedRoute] = [
            CachedRoute(group, path) for group, paths in _PATHS.items() for path in paths
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        route = self._route_of(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        key = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        copy, source = self._cache.own(route.group, key), "own"
        if copy is None:
            (copy, place), source = await self._cache.look(route.group, key), "shared"
        if copy is None:
            await self._fetch(route, place, scope, receive, send)
            return
        self._telemetry.cached_answers.labels(route.group, source).inc()
        scope["route"] = route
        await _answer(copy, scope, send)

    def _route_of(self, scope: Scope) -> CachedRoute | None:
        if scope["type"] != "http" or scope["method"] != "GET" or len(scope["query_string"]) > _LONGEST_QUERY:
            return None
        path = scope["path"]
        for route in self._routes:
            if route.pattern.match(path):
                return None if any(name in _WHO for name, _ in scope["headers"]) else route
        return None

    async def _fetch(self, route: CachedRoute, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; keep a 200 before it goes out."""
        started: Message | None = None
        body = b""

        async def keep(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start" and message["status"] == 200:
                started = message
            elif started is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    copy = await self._cache.keep(place, body)
                    self._telemetry.cached_answers.labels(route.group, "store").inc()
                    await _answer(copy, scope, send, also=started["headers"])

        await self._app(scope, receive, keep)


async def _answer(copy: Copy, scope: Scope, send: Send, *, also: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Send a copy, or 304 to a client that says it has it. `also`: headers of the first answer alone."""
    etag = copy.etag.encode()
    kept = [header for header in also if header[0] not in _OURS]
    headers = [*kept, (b"etag", etag), _REVALIDATE, (b"vary", b"Authorization, Cookie")]
    if _has(copy.etag, scope):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(copy.body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": copy.body})


_OURS: Final = frozenset({b"etag", b"cache-control", b"vary", b"content-type", b"content-length"})


def _has(etag: str, scope: Scope) -> bool:
    given = Headers(scope=scope).get("if-none-match")
    if given is None:
        return False
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))
