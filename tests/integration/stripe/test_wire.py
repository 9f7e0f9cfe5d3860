"""The gateway against a server that misbehaves: through the library, httpx and real sockets."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from runtime.errors import InvalidInput, MeterstreamError, StripeAPIError, Unavailable
from runtime.settings import StripeSettings
from sinks.stripe.calls import API_VERSION
from sinks.stripe.client import StripeGateway
from tests.integration.stripe.wire_server import Behaviour, WireServer, wire_server

pytestmark = pytest.mark.integration

_KEY = "sk_test_51HiddenKey"
_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _gateway(server: WireServer, **changes: Any) -> StripeGateway:
    settings = {"api_key": SecretStr(_KEY), "api_base": server.url, "timeout_s": 0.5, "max_requests_per_s": 1_000}
    return StripeGateway(StripeSettings(**{**settings, **changes}))


async def test_a_call_says_who_we_are_what_we_speak_and_what_it_is_for() -> None:
    async with wire_server() as server, _gateway(server) as gateway:
        answer = await gateway.customers.create("customer:7", name="Ärger & Söhne", metadata={"key": "a b"})
        assert answer["id"] == "cus_1"
        await gateway.customers.get("cus_1")
    created, read = server.requests
    assert created["line"] == "POST /v1/customers HTTP/1.1"
    assert created["body"] == "name=%C3%84rger+%26+S%C3%B6hne&metadata[key]=a+b"
    assert created["authorization"] == f"Bearer {_KEY}"
    assert created["stripe-version"] == API_VERSION
    assert created["idempotency-key"] == "customer:7"
    assert "x-stripe-client-telemetry" not in created
    assert read["line"] == "GET /v1/customers/cus_1 HTTP/1.1"
    assert "idempotency-key" not in read


@pytest.mark.parametrize(
    "plan",
    [
        ["fail", "answer"],
        ["conflict", "answer"],
        ["drop", "answer"],
        ["hang", "answer"],
        ["throttle", "answer"],
        ["drop", "fail", "answer"],
    ],
)
async def test_whatever_happens_there_is_one_effect(plan: list[Behaviour]) -> None:
    async with wire_server(*plan) as server, _gateway(server) as gateway:
        assert (await gateway.customers.create("customer:7"))["id"] == "cus_1"
    assert [request["idempotency-key"] for request in server.requests] == ["customer:7"] * len(plan)
    assert server.effects == {"customer:7"}


async def test_retry_after_is_kept_and_a_timeout_is_repeated_at_once() -> None:
    async with wire_server("throttle", "hang", "answer") as server, _gateway(server) as gateway:
        await gateway.customers.create("customer:7")
    first, second, third = server.arrivals
    assert second - first >= 1
    assert 0.45 <= third - second < 0.95


async def test_nobody_there_is_unavailable_and_soon_not_asked_any_more() -> None:
    async with wire_server() as server:
        gone = server.url
    async with _gateway(WireServer(url=gone), max_tries=2, breaker_failures=2) as gateway:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await gateway.customers.get("cus_1")
        with pytest.raises(Unavailable, match="left alone") as refused:
            await gateway.customers.get("cus_1")
        assert refused.value.details["retry_after_s"] >= 1


async def test_the_server_never_sees_more_than_allowed_in_a_second() -> None:
    async with wire_server() as server, _gateway(server, max_requests_per_s=10) as gateway:
        await asyncio.gather(*(gateway.customers.get(f"cus_{n}") for n in range(25)))
    arrivals = sorted(server.arrivals)
    assert len(arrivals) == 25
    assert min(later - first for first, later in zip(arrivals, arrivals[10:], strict=False)) >= 1


async def test_one_customer_and_meter_have_one_call_at_a_time() -> None:
    async with wire_server() as server, _gateway(server) as gateway:
        server.answer_s = 0.05

        async def send(number: int, customer: str) -> bool:
            return await gateway.meter_events.send(
                identifier=f"usage:{customer}:{number}", event_name="tokens", customer=customer, value=3, at=_AT
            )

        sent = await asyncio.gather(*(send(n, customer) for customer in ("cus_a", "cus_b") for n in range(4)))
    assert sent == [True] * 8
    assert server.most_in_flight == {"cus_a": 1, "cus_b": 1}
    assert server.arrivals[1] - server.arrivals[0] < 0.05


async def test_half_a_character_is_refused_before_anything_is_sent() -> None:
    async with wire_server() as server, _gateway(server) as gateway:
        with pytest.raises(InvalidInput, match="surrogate"):
            await gateway.customers.create("customer:7", name="\ud800")
    assert server.requests == []


async def test_secrets_stay_out_of_logs_and_errors(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    with capture_logs() as lines:
        async with (
            wire_server("throttle", "answer", "echo_key", "fail", "fail") as server,
            _gateway(server, max_tries=2) as gateway,
        ):
            await gateway.payment_methods.start_adding("setup:1", "cus_1")
            for kind in (StripeAPIError, Unavailable):
                with pytest.raises(MeterstreamError) as refused:
                    await gateway.customers.get("cus_1")
                assert type(refused.value) is kind
                told += f"{refused.value} {refused.value!r} {refused.value.details}"
    assert "req_wire" in told
    seen = f"{told} {lines} {caplog.text} {capfd.readouterr()}"
    assert [line["event"] for line in lines].count("A call to Stripe is repeated") == 2
    for secret in (_KEY, "secret_hidden", "4242424242424242"):
        assert secret not in seen
