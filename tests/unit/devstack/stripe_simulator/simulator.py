"""A simulator in this process, spoken to as Stripe's client does; each answer is judged by Stripe's own document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.applications import Starlette

from devstack.stripe_simulator.app import create_app
from devstack.stripe_simulator.clock import WorldClock
from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.world import World
from tests.contract.stripe_document import check_answer, check_request

KEY = "sk_test_of_the_unit_tests"
NOW = 1_795_000_000


@dataclass
class SettableTime:
    """A clock that stands until it is told to go on."""

    seconds: float = NOW

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Simulator:
    """What tests hold."""

    client: httpx.AsyncClient
    app: Starlette
    time: SettableTime
    problems: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        world: World = self.app.state.world
        return world

    async def call(
        self, method: str, path: str, form: dict[str, Any] | None = None, *, status: int = 200, **headers: str
    ) -> dict[str, Any]:
        """Make a call; what does not fit Stripe's document is a failure, wrong requests aside."""
        response = await self.send(method, path, form, **headers)
        body: dict[str, Any] = response.json()
        assert response.status_code == status, body
        problems = check_answer(method, path, response.status_code, body)
        if status == 200:
            problems += check_request(method, path, parse_qsl(urlencode(form or {}), keep_blank_values=True))
        assert not problems, problems
        return body

    async def send(self, method: str, path: str, form: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Make a call and return whatever comes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "GET":
            return await self.client.get(path, params=form, headers=named)
        return await self.client.request(method, path, data=form, headers=named)

    async def put_faults(self, **plan: Any) -> None:
        """Let things go wrong."""
        (await self.client.put("/_simulator/faults", json=plan)).raise_for_status()


@asynccontextmanager
async def running(config: SimulatorConfig | None = None) -> AsyncIterator[Simulator]:
    """Run a simulator; time stands still, and webhooks are sent when the test says so."""
    time = SettableTime()
    app = create_app(config or SimulatorConfig(port=1, api_key=KEY, tick_s=3600), clock=WorldClock(time))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True),
            base_url="http://simulator",
            headers={"Authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        yield Simulator(client, app, time)
