"""The HTTP side: Stripe's API under `/v1` and `/v2`."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.forms import Parameters, decode
from devstack.stripe_simulator.pages import Page
from devstack.stripe_simulator.routes import Call, Route, Router
from devstack.stripe_simulator.world import API_VERSION, Cause, World, public

ROUTES: list[Route] = []


def answer(world: World, router: Router, call: Call) -> Obj:
    """Do one call. Raises: StripeFailure."""
    match = router.match(call.method, call.path)
    if match is None:
        raise StripeFailure(f"Unrecognized request URL ({call.method}: {call.path}).", status=404)
    route, placeholders = match
    with world.call(Cause(call.request_id, call.idempotency_key)):
        found = route.handler(world, call, **placeholders)
        call.parameters.check_all_read()
        body: Obj = public(found.body() if isinstance(found, Page) else found)
        return body


def create_app(config: SimulatorConfig) -> Starlette:
    """Return the server."""
    world = World(path=config.state_path, base_url=config.base_url)
    router = Router(ROUTES)

    async def api(request: Request) -> Response:
        form = request.url.query if request.method in ("GET", "DELETE") else (await request.body()).decode()
        request_id = world.new_id("req", 14)
        call = Call(request.method, request.url.path, Parameters(decode(form)), request_id, api_version=API_VERSION)
        try:
            return JSONResponse(answer(world, router, call), headers={"Request-Id": request_id})
        except StripeFailure as failure:
            return JSONResponse(failure.body(), failure.status, headers={"Request-Id": request_id})

    return Starlette(routes=[Path("/{path:path}", api, methods=["GET", "POST", "DELETE"])])
