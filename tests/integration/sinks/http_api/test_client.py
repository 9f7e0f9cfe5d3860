"""The client of our API against servers that misbehave: what is repeated, for how long, and what is not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web

from devstack.ports import free_port
from runtime.errors import PayloadTooLarge, Unavailable
from sinks.http_api.client import ApiClient, ApiRefusal, IngestAnswer, Rejected

pytestmark = pytest.mark.integration

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def client_of(handler: Handler, *, give_up_s: float = 20.0) -> AsyncIterator[ApiClient]:
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/api/v1/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port := free_port())
        await site.start()
        async with ApiClient(f"http://127.0.0.1:{port}/", "ms_key", give_up_s=give_up_s) as client:
            yield client
    finally:
        await runner.cleanup()


def taken(count: int) -> web.Response:
    return web.json_response({"accepted": count, "rejected": []})


def refusal(status: int, code: str, **headers: str) -> web.Response:
    error = {"code": code, "message": "because", "details": {"id": "e1", "status": "odd"}}
    return web.json_response({"success": False, "error": error, "request_id": "r"}, status=status, headers=headers)


async def test_what_is_not_stored_yet_is_sent_again_after_the_time_asked_for() -> None:
    seen: list[tuple[float, bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((time.monotonic(), await request.read()))
        assert request.headers["Authorization"] == "Bearer ms_key"
        assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
        answers = [refusal(503, "UNAVAILABLE", **{"Retry-After": "1"}), refusal(429, "RATE_LIMITED")]
        return answers[len(seen) - 1] if len(seen) <= len(answers) else taken(2)

    async with client_of(handler) as client:
        assert await client.send_events([b'{"a":1}', b'{"b": 2}']) == IngestAnswer(2, [])
    assert [body for _, body in seen] == [b'[{"a":1},{"b": 2}]'] * 3
    assert seen[1][0] - seen[0][0] >= 1.0


async def test_a_lost_connection_is_repeated() -> None:
    tries = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries == 1:
            assert request.transport is not None
            request.transport.close()
        return taken(1)

    async with client_of(handler) as client:
        assert (await client.send_event(b"{}")).accepted == 1
    assert tries == 2


async def test_it_gives_up_in_the_end() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return refusal(503, "UNAVAILABLE")

    async with client_of(handler, give_up_s=0.5) as client:
        with pytest.raises(Unavailable, match="answers 503"):
            await client.send_events([b"{}"])
    async with ApiClient(f"http://127.0.0.1:{free_port()}", "ms_key", give_up_s=0.3) as nobody:
        with pytest.raises(Unavailable, match="does not take the request"):
            await nobody.get("/meters")


async def test_refusals_are_not_repeated() -> None:
    tries = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        return refusal(403, "INSUFFICIENT_PERMISSIONS")

    async with client_of(handler) as client:
        with pytest.raises(ApiRefusal) as refused:
            await client.send_events([b"{}"])
    assert (refused.value.status, refused.value.code, tries) == (403, "INSUFFICIENT_PERMISSIONS", 1)


async def test_one_event_that_is_refused_is_an_answer() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return refusal(400, "MISSING_FIELD")

    async with client_of(handler) as client:
        assert await client.send_event(b"{}") == IngestAnswer(0, [Rejected(0, "e1", "MISSING_FIELD", "because")])


async def test_what_is_too_large_is_halved_and_places_stay_right() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        events = await request.json()
        if len(events) > 2:
            return refusal(413, "PAYLOAD_TOO_LARGE")
        bad = [place for place, event in enumerate(events) if event == 4]
        rejected = [{"index": place, "id": None, "code": "NOT_AN_OBJECT", "message": "m"} for place in bad]
        return web.json_response({"accepted": len(events) - len(bad), "rejected": rejected})

    async with client_of(handler) as client:
        answer = await client.send_events([b"0", b"1", b"2", b"3", b"4"])
    assert answer == IngestAnswer(4, [Rejected(4, None, "NOT_AN_OBJECT", "m")])


async def test_one_event_that_is_too_large_cannot_be_halved() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return refusal(413, "PAYLOAD_TOO_LARGE")

    async with client_of(handler) as client:
        with pytest.raises(PayloadTooLarge):
            await client.send_events([b"0"])


async def test_fractions_are_exact() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query.getall("group_by") == ["a", "b"]
        return web.Response(text='{"value": 0.1000000000000000055511151231257827}', content_type="application/json")

    async with client_of(handler) as client:
        answer = await client.get("/meters/m/query", [("group_by", "a"), ("group_by", "b")])
    assert answer == {"value": Decimal("0.1000000000000000055511151231257827")}
