"""Faults happen as asked, before or after the effect, and a repeat with the same key never doubles it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from devstack.stripe_simulator.app import create_app
from devstack.stripe_simulator.config import SimulatorConfig
from tests.unit.devstack.stripe_simulator.simulator import KEY, Simulator


@pytest.mark.parametrize(("kind", "made"), [("error_before", 0), ("error_after", 1)])
async def test_a_5xx_comes_before_or_after_the_effect(simulator: Simulator, kind: str, made: int) -> None:
    await simulator.put_faults(rules=[{"kind": kind, "status": 503, "times": 1}])
    broken = await simulator.send("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    assert broken.status_code == 503
    assert broken.json()["error"]["type"] == "api_error"
    assert len(simulator.world.find("customer")) == made
    again = await simulator.send("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    assert again.status_code == 200
    assert ("Idempotent-Replayed" in again.headers) is (made == 1)
    assert len(simulator.world.find("customer")) == 1


async def test_a_429_says_when_to_come_again(simulator: Simulator) -> None:
    await simulator.put_faults(rules=[{"kind": "rate_limit", "retry_after_s": 3, "method": "POST"}])
    refused = await simulator.send("POST", "/v1/customers")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    assert refused.json()["error"]["code"] == "rate_limit"
    assert (await simulator.send("GET", "/v1/customers")).status_code == 200


async def test_a_real_limit_lets_so_many_a_second_in(simulator: Simulator) -> None:
    await simulator.put_faults(calls_per_second=5)
    statuses = [(await simulator.send("GET", "/v1/customers")).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2


async def test_latency_delays(simulator: Simulator) -> None:
    await simulator.put_faults(rules=[{"kind": "latency", "seconds": 0.2}])
    begun = time.monotonic()
    await simulator.call("GET", "/v1/customers")
    assert time.monotonic() - begun >= 0.2


async def test_the_same_seed_does_the_same(simulator: Simulator) -> None:
    async def statuses() -> list[int]:
        await simulator.put_faults(seed=7, rules=[{"kind": "error_before", "probability": 0.4}])
        return [(await simulator.send("GET", "/v1/customers")).status_code for _ in range(30)]

    first = await statuses()
    assert 200 in first
    assert 500 in first
    assert await statuses() == first


async def test_a_wrong_plan_is_refused(simulator: Simulator) -> None:
    for plan in ({"rules": [{"kind": "earthquake"}]}, {"rules": [{"kind": "latency", "probability": 2}]}, {"sede": 1}):
        assert (await simulator.client.put("/_simulator/faults", json=plan)).status_code == 400


async def test_calls_are_listed_and_all_can_be_reset(simulator: Simulator) -> None:
    await simulator.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    await simulator.call("GET", "/v1/customers")
    calls = (await simulator.client.get("/_simulator/calls")).json()["data"]
    assert [(one["method"], one["path"], one["idempotency_key"], one["status"]) for one in calls] == [
        ("POST", "/v1/customers", "k", 200),
        ("GET", "/v1/customers", None, 200),
    ]
    assert len((await simulator.client.get("/_simulator/calls", params={"after": 1})).json()["data"]) == 1
    dumped = (await simulator.client.get("/_simulator/objects/customer")).json()["data"]
    assert [one["name"] for one in dumped] == ["a"]
    assert (await simulator.client.get("/_simulator/objects")).json()["customer"] == 1
    await simulator.client.post("/_simulator/reset")
    assert (await simulator.client.get("/_simulator/objects")).json() == {}
    assert (await simulator.client.get("/_simulator/calls")).json()["data"] == []


async def test_the_control_api_needs_the_key(simulator: Simulator) -> None:
    response = await simulator.client.post("/_simulator/reset", headers={"Authorization": "Bearer x"})
    assert response.status_code == 401
    assert (await simulator.client.get("/_simulator/health", headers={"Authorization": ""})).status_code == 200


async def test_the_clock_can_be_put_forward(simulator: Simulator) -> None:
    before = simulator.world.now()
    answer = await simulator.client.post("/_simulator/advance", json={"seconds": 3_600})
    assert answer.json()["now"] == simulator.world.now() == before + 3_600
    assert (await simulator.client.post("/_simulator/advance", json={"seconds": -1})).status_code == 400


@pytest.fixture
async def served() -> AsyncIterator[httpx.AsyncClient]:
    """Serve over a real socket: only there a connection can break."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = create_app(SimulatorConfig(port=port, api_key=KEY))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        while not server.started:
            await asyncio.sleep(0.01)
        yield client
    server.should_exit = True
    await running


@pytest.mark.parametrize(("kind", "made"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_connection_breaks_before_or_after_the_effect(served: httpx.AsyncClient, kind: str, made: int) -> None:
    plan = {"rules": [{"kind": kind, "path": "/v1/customers", "method": "POST", "times": 1}]}
    (await served.put("/_simulator/faults", json=plan)).raise_for_status()
    with pytest.raises(httpx.RemoteProtocolError):
        await served.post("/v1/customers", data={"name": "a"}, headers={"Idempotency-Key": "k"})
    assert len((await served.get("/v1/customers")).json()["data"]) == made
    await served.post("/v1/customers", data={"name": "a"}, headers={"Idempotency-Key": "k"})
    assert len((await served.get("/v1/customers")).json()["data"]) == 1
    calls = (await served.get("/_simulator/calls")).json()["data"]
    assert (calls[0]["status"], calls[0]["faults"]) == (None, [kind])


async def test_an_answer_later_than_the_client_waits(served: httpx.AsyncClient) -> None:
    plan = {"rules": [{"kind": "hang_after", "seconds": 0.5, "method": "POST", "times": 1}]}
    await served.put("/_simulator/faults", json=plan)
    with pytest.raises(httpx.ReadTimeout):
        await served.post("/v1/customers", headers={"Idempotency-Key": "k"}, timeout=0.2)
    assert (await served.post("/v1/customers", headers={"Idempotency-Key": "k"})).status_code == 409
    await asyncio.sleep(0.5)
    replayed = await served.post("/v1/customers", headers={"Idempotency-Key": "k"})
    assert replayed.headers["Idempotent-Replayed"] == "true"
