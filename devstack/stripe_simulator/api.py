"""One call of Stripe's API, from its bytes to its answer: key, version, faults, idempotency, handler, expansion."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from devstack.stripe_simulator.expansion import expand
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.faults import FaultKind, Faults, Rule
from devstack.stripe_simulator.forms import Parameters, decode
from devstack.stripe_simulator.idempotency import KeyedCall, Keys
from devstack.stripe_simulator.pages import Page
from devstack.stripe_simulator.routes import Call, Route, Router
from devstack.stripe_simulator.world import API_VERSION, Cause, World, public
from runtime.logging import get_logger

_MOST_BYTES = 1_000_000
V2 = "/v2/"
_LOGGED_CALLS = 100_000
_log = get_logger(__name__)


@dataclass
class CallRecord:
    """What the control API tells of a call."""

    number: int
    at: float
    """Unix seconds at which the call came in."""
    method: str
    path: str
    idempotency_key: str | None
    form: str
    request_id: str
    status: int | None = None
    """None: no answer was sent (yet)."""
    replayed: bool = False
    faults: list[FaultKind] = field(default_factory=list)

    @property
    def is_v2(self) -> bool:
        """Say whether errors have the form of v2."""
        return self.path.startswith(V2)


class Dropped(Response):
    """An answer that breaks off: the server closes a connection whose announced body does not come."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce more than is sent."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


class Api:
    """Answers every call below `/v1` and `/v2`."""

    def __init__(self, world: World, router: Router, faults: Faults, api_key: str) -> None:
        self._world, self._router, self._faults, self._api_key = world, router, faults, api_key
        self.keys = Keys(world)
        self.calls: deque[CallRecord] = deque(maxlen=_LOGGED_CALLS)
        self._count = 0

    async def serve(self, request: Request) -> Response:
        """Answer one call, in the way that the faults let it be answered."""
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        record = self._record(request, body)
        drawn = self._faults.draw(record.method, record.path)
        record.faults = list(drawn)
        if "latency" in drawn:
            await asyncio.sleep(drawn["latency"].seconds)
        response = self._refusal_before(record, drawn) or await self._answer(request, body, record, drawn)
        response.headers["Request-Id"] = record.request_id
        response.headers["Stripe-Version"] = API_VERSION
        if record.idempotency_key is not None:
            response.headers["Idempotency-Key"] = record.idempotency_key
        record.status = None if isinstance(response, Dropped) else response.status_code
        return response

    def _record(self, request: Request, body: bytes) -> CallRecord:
        self._count += 1
        record = CallRecord(
            number=self._count,
            at=time.time(),
            method=request.method,
            path=request.url.path,
            idempotency_key=request.headers.get("idempotency-key") if request.method != "GET" else None,
            form=body.decode(errors="replace") or request.url.query,
            request_id=self._world.new_id("req", 14),
        )
        self.calls.append(record)
        return record

    def _refusal_before(self, record: CallRecord, drawn: dict[FaultKind, Rule]) -> Response | None:
        """Return the answer of a call that does not take effect."""
        if "rate_limit" in drawn or self._faults.is_over_limit():
            wait = drawn["rate_limit"].retry_after_s if "rate_limit" in drawn else 1
            failure = StripeFailure(
                "Request rate limit exceeded. Learn more about rate limits at https://stripe.com/docs/rate-limits.",
                status=429,
                code="rate_limit",
            )
            headers = {"Stripe-Rate-Limited-Reason": "global-rate"}
            return _failed(failure, record, headers | ({"Retry-After": str(wait)} if wait is not None else {}))
        if "error_before" in drawn:
            return _broken(drawn["error_before"].status)
        return Dropped() if "drop_before" in drawn else None

    async def _answer(
        self, request: Request, body: bytes, record: CallRecord, drawn: dict[FaultKind, Rule]
    ) -> Response:
        keyed = None
        if record.method == "POST" and record.idempotency_key is not None:
            keyed = KeyedCall(record.idempotency_key, record.method, record.path, body, record.request_id)
        try:
            self._check_key(request)
            _check_version(request)
            kept = self.keys.take(keyed) if keyed is not None else None
        except StripeFailure as failure:
            return _failed(failure, record)
        if kept is not None:
            record.replayed = True
            headers = {"Idempotent-Replayed": "true", "Original-Request": kept["request_id"]}
            return JSONResponse(kept["body"], kept["status"], headers)
        try:
            # The key stays in use until the answer goes out: who repeats the call meanwhile gets 409.
            return await self._spoil(self._perform(request, body, record, keyed), drawn)
        finally:
            if keyed is not None:
                self.keys.release(keyed.key)

    async def _spoil(self, response: Response, drawn: dict[FaultKind, Rule]) -> Response:
        """Return what the caller gets of an answer whose effect is there."""
        if "hang_after" in drawn:
            await asyncio.sleep(drawn["hang_after"].seconds)
        if "error_after" in drawn:
            return _broken(drawn["error_after"].status)
        return Dropped() if "drop_after" in drawn else response

    def _perform(self, request: Request, body: bytes, record: CallRecord, keyed: KeyedCall | None) -> Response:
        """Do it; the effect and the answer under its idempotency key are stored together."""
        try:
            route, placeholders = self._route(record)
            parameters = _parameters(request, body)
            call = Call(record.method, record.path, parameters, record.request_id, record.idempotency_key, API_VERSION)
            with self._world.call(Cause(record.request_id, record.idempotency_key)):
                status, answer = self._handle(route, placeholders, call)
                if keyed is not None:
                    self.keys.keep(keyed, status, answer)
        except StripeFailure as failure:
            return _failed(failure, record)
        except Exception:
            _log.exception("the simulator has a defect", method=record.method, path=record.path)
            return _broken(500)
        return JSONResponse(answer, status)

    def _route(self, record: CallRecord) -> tuple[Route, dict[str, str]]:
        match = self._router.match(record.method, record.path)
        if match is None:
            message = (
                f"Unrecognized request URL ({record.method}: {record.path[:200]}). "
                "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
            )
            raise StripeFailure(message, status=404)
        return match

    def _handle(self, route: Route, placeholders: dict[str, str], call: Call) -> tuple[int, Obj]:
        """Return status and body; a refusal that leaves no effect is raised, and undoes the call."""
        paths = call.parameters.texts("expand") or []
        try:
            found = route.handler(self._world, call, **placeholders)
            call.parameters.check_all_read()
            body = expand(self._world, found.body() if isinstance(found, Page) else found, paths)
        except StripeFailure as failure:
            if not failure.keeps_effects:
                raise
            return failure.status, public(failure.body(is_v2=call.path.startswith(V2)))
        return 200, public(body)

    def _check_key(self, request: Request) -> None:
        sent = _sent_key(request.headers.get("authorization", ""))
        if not sent:
            raise StripeFailure(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if not hmac.compare_digest(sent.encode(), self._api_key.encode()):
            hidden = sent[:7] + "*" * max(len(sent) - 11, 0) + sent[-4:] if len(sent) > 11 else "*" * len(sent)
            raise StripeFailure(f"Invalid API Key provided: {hidden}", status=401)


def _sent_key(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _check_version(request: Request) -> None:
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        message = f"Invalid Stripe API version: {version[:50]}. The simulator speaks {API_VERSION}."
        raise StripeFailure(message)


def _parameters(request: Request, body: bytes) -> Parameters:
    if len(body) > _MOST_BYTES:
        raise StripeFailure("The request is too large.", status=413)
    try:
        text = body.decode()
        if text and request.headers.get("content-type", "").startswith("application/json"):
            sent: Any = json.loads(text)
            if not isinstance(sent, dict):
                raise StripeFailure("Invalid request: the body must be a JSON object.")
            return Parameters(sent)
    except ValueError as exc:
        raise StripeFailure("Invalid request: the body can not be read.") from exc
    return Parameters({**decode(request.url.query), **decode(text)})


def _failed(failure: StripeFailure, record: CallRecord, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(public(failure.body(is_v2=record.is_v2)), failure.status, headers)


def _broken(status: int) -> Response:
    error: Obj = {"message": "An unknown error occurred. This was made on purpose or is a defect.", "type": "api_error"}
    return JSONResponse({"error": error}, status)
