"""The HTTP side: Stripe's API, the hosted pages and the control API over one world; webhooks and time go on beside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.routing import Route as Path

from devstack.stripe_simulator import (
    accounts,
    billing,
    checkout,
    coupons,
    customer_deletion,
    customers,
    event_destinations,
    events,
    payment_methods,
    portal,
    portal_configurations,
    prices,
    products,
    promotion_codes,
    setup_intents,
    tax_ids,
    webhook_endpoints,
)
from devstack.stripe_simulator.api import Api
from devstack.stripe_simulator.authentication_page import AuthenticationPage
from devstack.stripe_simulator.billing import lifecycle
from devstack.stripe_simulator.checkout_page import CheckoutPage
from devstack.stripe_simulator.clock import WorldClock
from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.control import Control
from devstack.stripe_simulator.faults import Faults
from devstack.stripe_simulator.invoice_page import InvoicePage
from devstack.stripe_simulator.portal_page import PortalPage
from devstack.stripe_simulator.routes import Router
from devstack.stripe_simulator.standing_receivers import keep_receivers
from devstack.stripe_simulator.webhooks import Deliverer
from devstack.stripe_simulator.world import World
from runtime.logging import get_logger
from runtime.tasks import end_tasks

_log = get_logger(__name__)
_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_CLEANING_EVERY_S = 3_600

ROUTES = [
    *accounts.ROUTES,
    *customers.ROUTES,
    *customer_deletion.ROUTES,
    *tax_ids.ROUTES,
    *payment_methods.ROUTES,
    *setup_intents.ROUTES,
    *products.ROUTES,
    *prices.ROUTES,
    *coupons.ROUTES,
    *promotion_codes.ROUTES,
    *webhook_endpoints.ROUTES,
    *event_destinations.ROUTES,
    *events.ROUTES,
    *checkout.ROUTES,
    *portal.ROUTES,
    *portal_configurations.ROUTES,
    *billing.ROUTES,
]


def create_app(config: SimulatorConfig, *, clock: WorldClock | None = None) -> Starlette:
    """Return the server; `app.state.world`, `.deliverer` and `.faults` are there for tests once it has started."""
    world = World(path=config.state_path, clock=clock, base_url=config.base_url)
    faults = Faults()
    api = Api(world, Router(ROUTES), faults, config.api_key)

    def advance() -> None:
        with world.call():
            lifecycle.tick(world)
            checkout.expire_due(world)

    keep_receivers(world, config)
    control = Control(world, api, faults, advance, config.api_key, on_reset=lambda: keep_receivers(world, config))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # No proxy of the environment: receivers are on this machine.
        async with httpx.AsyncClient(trust_env=False) as client:
            app.state.deliverer = Deliverer(world, config, faults, client)
            going_on = [
                asyncio.create_task(app.state.deliverer.run()),
                asyncio.create_task(_repeat(advance, config.tick_s)),
                asyncio.create_task(_repeat(lambda: _clean(world, api), _CLEANING_EVERY_S)),
            ]
            yield
            await end_tasks(*going_on)
        world.close()

    kinds = (CheckoutPage, PortalPage, InvoicePage, AuthenticationPage)
    pages = [route for kind in kinds for route in kind(world).routes()]
    app = Starlette(
        routes=[*control.routes(), *pages, Path("/{path:path}", api.serve, methods=_METHODS)],
        lifespan=lifespan,
    )
    app.state.world, app.state.faults = world, faults
    return app


async def _repeat(step: Callable[[], None], every_s: float) -> None:
    while True:
        try:
            step()
        except Exception:
            _log.exception("time stands still: the simulator has a defect")
            raise
        await asyncio.sleep(every_s)


def _clean(world: World, api: Api) -> None:
    with world.call():
        events.forget_old(world)
        api.keys.forget_old()
