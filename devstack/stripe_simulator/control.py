"""The simulator's own API, for tests and demonstrations; with the same key as Stripe's, never spoiled by faults.

GET    /_simulator/health            alive (no key needed)
GET    /_simulator/faults            what goes wrong on purpose
PUT    /_simulator/faults            JSON, a `FaultPlan`: {"seed": 7, "calls_per_second": 25, "rules": [
                                       {"kind": "drop_after", "probability": 0.1, "path": "/v1/customers"}],
                                       "webhooks": {"duplicate": 0.2, "shuffle": true}}
                                     Kinds: latency (seconds), rate_limit (429, retry_after_s), error_before (5xx
                                     without effect), error_after (5xx, the effect is there; the true answer is
                                     what a repeat with the same idempotency key gets), drop_before, drop_after
                                     (the connection breaks), hang_after (the answer comes seconds late).
                                     Webhooks: duplicate, delay (delay_s), lose, shuffle (shuffle_s).
DELETE /_simulator/faults            nothing goes wrong any more
GET    /_simulator/calls?after=N     calls made since the N-th: number, at, method, path, idempotency_key, form,
                                     request_id, status (null: none was sent), replayed, faults
GET    /_simulator/objects           how many of each kind there are
GET    /_simulator/objects/{kind}    all objects of a kind, newest first, as Stripe would send them
POST   /_simulator/advance           JSON {"seconds": 86400}: put the wall clock of the simulation forward; all that
                                     falls due happens
POST   /_simulator/clock             JSON {"customer": "cus_…", "clock": "clock_…"}: let a customer who has
                                     bought nothing yet live on a test clock, which Stripe asks for when one is created
POST   /_simulator/disputes          JSON {"payment_intent": "pi_…"}: let the customer's bank dispute a payment; with
                                     "status" (won, lost, warning_closed) close what is disputed
POST   /_simulator/webhooks/retry    try every waiting delivery again now
POST   /_simulator/reset             empty the world and the list of calls, and let nothing go wrong
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devstack.stripe_simulator.api import Api
from devstack.stripe_simulator.billing import charges
from devstack.stripe_simulator.failures import StripeFailure
from devstack.stripe_simulator.faults import FaultPlan, Faults
from devstack.stripe_simulator.world import World, public

_STEP_S = 3_600
Endpoint = Callable[[Request], Awaitable[Response]]


class Advance(BaseModel):
    """How far to go; at most ten years at once."""

    model_config = ConfigDict(extra="forbid")

    seconds: int = Field(ge=0, le=315_576_000)


class PutOnClock(BaseModel):
    """Whom, and on which test clock."""

    model_config = ConfigDict(extra="forbid")

    customer: str
    clock: str


class Dispute(BaseModel):
    """Of which payment, and how it stands."""

    model_config = ConfigDict(extra="forbid")

    payment_intent: str
    status: str = charges.OPEN


class Control:
    """The handlers."""

    def __init__(
        self,
        world: World,
        api: Api,
        faults: Faults,
        advance: Callable[[], None],
        api_key: str,
        *,
        on_reset: Callable[[], None],
    ) -> None:
        self._world, self._api, self._faults, self._advance, self._api_key = world, api, faults, advance, api_key
        self._on_reset = on_reset

    def routes(self) -> list[Route]:
        """Return what is to be served."""
        guarded: list[tuple[str, str, Endpoint]] = [
            ("GET", "faults", self._show_faults),
            ("PUT", "faults", self._set_faults),
            ("DELETE", "faults", self._clear_faults),
            ("GET", "calls", self._calls),
            ("GET", "objects", self._counts),
            ("GET", "objects/{kind}", self._objects),
            ("POST", "advance", self._go_on),
            ("POST", "clock", self._put_on_clock),
            ("POST", "disputes", self._dispute),
            ("POST", "webhooks/retry", self._retry),
            ("POST", "reset", self._reset),
        ]
        routes = [Route(f"/_simulator/{path}", self._guard(run), methods=[method]) for method, path, run in guarded]
        return [Route("/_simulator/health", _health, methods=["GET"]), *routes]

    def _guard(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            sent = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(sent.encode(), self._api_key.encode()):
                return JSONResponse({"error": "Send the key: Authorization: Bearer sk_test_…"}, 401)
            try:
                return await endpoint(request)
            except ValidationError as exc:
                return JSONResponse({"error": exc.errors(include_url=False, include_context=False)}, 400)
            except StripeFailure as exc:
                return JSONResponse({"error": exc.message}, exc.status)

        return guarded

    async def _show_faults(self, request: Request) -> Response:
        return JSONResponse(self._faults.plan.model_dump())

    async def _set_faults(self, request: Request) -> Response:
        self._faults.set(FaultPlan.model_validate_json(await request.body()))
        return await self._show_faults(request)

    async def _clear_faults(self, request: Request) -> Response:
        self._faults.set(FaultPlan())
        return await self._show_faults(request)

    async def _calls(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        number = int(after) if after.isdecimal() else 0
        return JSONResponse({"data": [dataclasses.asdict(call) for call in self._api.calls if call.number > number]})

    async def _counts(self, request: Request) -> Response:
        return JSONResponse({kind: len(self._world.find(kind)) for kind in self._world.kinds()})

    async def _objects(self, request: Request) -> Response:
        return JSONResponse({"data": public(self._world.find(request.path_params["kind"]))})

    async def _go_on(self, request: Request) -> Response:
        asked = Advance.model_validate_json(await request.body())
        left = asked.seconds
        while left > 0:
            # Hour by hour, so that what happens bears about the time at which it is due.
            self._world.clock.skipped_s += min(left, _STEP_S)
            left -= _STEP_S
            self._advance()
        with self._world.call():
            self._world.keep_clock()
        return JSONResponse({"now": self._world.now()})

    async def _put_on_clock(self, request: Request) -> Response:
        asked = PutOnClock.model_validate_json(await request.body())
        customer = self._world.get("customer", asked.customer)
        clock = self._world.get("test_helpers.test_clock", asked.clock)
        if self._world.find("subscription", customer=asked.customer) or self._world.find(
            "checkout.session", customer=asked.customer
        ):
            return JSONResponse({"error": f"{asked.customer} has bought something already."}, 400)
        with self._world.call():
            self._world.update(customer, {"test_clock": clock["id"]})
        return JSONResponse({"customer": asked.customer, "clock": clock["id"]})

    async def _dispute(self, request: Request) -> Response:
        asked = Dispute.model_validate_json(await request.body())
        with self._world.call():
            return JSONResponse(public(charges.dispute(self._world, asked.payment_intent, asked.status)))

    async def _retry(self, request: Request) -> Response:
        now = self._world.clock.now()
        waiting = self._world.find("_delivery")
        with self._world.call():
            for delivery in waiting:
                self._world.update(delivery, {"due_at": now})
        return JSONResponse({"deliveries": len(waiting)})

    async def _reset(self, request: Request) -> Response:
        self._world.reset()
        self._api.calls.clear()
        self._on_reset()
        return await self._clear_faults(request)


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})
