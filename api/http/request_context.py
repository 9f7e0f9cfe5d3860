"""What every request gets: an id, bounded and inflated body, metrics, a log line, and an answer even to a bug."""

from __future__ import annotations

import re
import time
import uuid
import zlib
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import error_response, request_id_of
from runtime.logging import get_logger
from runtime.telemetry import Telemetry

log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class RequestContext:
    """Outermost middleware: request id in and out, trace id, metrics, log line; a bug is a 500 without its inside."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        if trace is not None:
            structlog.contextvars.bind_contextvars(trace_id=trace[1])
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("A request met a bug", method=scope["method"], path=scope["path"])
            if status:
                raise  # half an answer is out; the server closes the connection
            response = error_response(
                status=500,
                code="UNEXPECTED_ERROR",
                message="Something is wrong on our side; the request id finds it in our logs.",
                request_id=request_id,
                accept=headers.get("accept", ""),
            )
            await response(scope, receive, send_with_id)
        finally:
            self._account(scope, status, time.perf_counter() - started)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        # Methods are the caller's text: an invented one must not become a new series each time.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._telemetry.http_requests.labels(method, route, str(status)).inc()
        self._telemetry.http_latency_s.labels(method, route).observe(seconds)
        write: Callable[..., object] = log.debug
        if status >= 500 or status == 0:
            write = log.error
        elif status == 429:
            write = log.warning
        write("Answered", method=method, path=scope["path"], route=route, status=status, duration_ms=seconds * 1000)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class BoundedBody:
    """Reads the body before the application does: never more than the limit, neither as sent nor inflated."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except _Refused as refused:
            response = error_response(
                status=refused.status,
                code=refused.code,
                message=str(refused),
                details={"limit_bytes": self._max_bytes} if refused.status == 413 else {},
                request_id=request_id_of(scope),
                accept=Headers(scope=scope).get("accept", ""),
                headers={"Connection": "close"},
            )
            await response(scope, receive, send)
            return
        if body is None:
            return  # the client went away
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise _Refused(415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding {encoding[:40]!r}: send gzip or none.")
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            more = message.get("more_body", False)
            chunk = message.get("body", b"")
            body += chunk if inflate is None else self._inflate(inflate, chunk, self._max_bytes + 1 - len(body))
            if len(body) > self._max_bytes:
                raise self._too_large()
        if inflate is not None and (not inflate.eof or inflate.unused_data):
            # A second member would be events that nobody reads: refused, not dropped.
            raise _Refused(400, "INVALID_INPUT", "The gzip body must be exactly one whole gzip member.")
        return bytes(body)

    @staticmethod
    def _inflate(inflate: zlib._Decompress, chunk: bytes, room: int) -> bytes:
        try:
            return inflate.decompress(chunk, room)
        except zlib.error as exc:
            raise _Refused(400, "INVALID_INPUT", "The body is not gzip as Content-Encoding says.") from exc

    def _too_large(self) -> _Refused:
        return _Refused(413, "PAYLOAD_TOO_LARGE", f"The body is larger than {self._max_bytes} bytes.")


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
