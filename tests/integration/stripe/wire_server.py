"""An HTTP server that misbehaves as told: it fails, throttles, hangs, and drops answers after their effect."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs

Behaviour: TypeAlias = Literal["answer", "fail", "throttle", "conflict", "drop", "hang", "echo_key"]
_STATUS = {"answer": 200, "fail": 500, "throttle": 429, "conflict": 409, "echo_key": 401}


@dataclass
class WireServer:
    """What it was asked, and what it will do; without a plan it answers."""

    plan: list[Behaviour] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of each request, lower case, with `line` and `body`."""
    arrivals: list[float] = field(default_factory=list)
    effects: set[str] = field(default_factory=set)
    """Idempotency keys whose effect was had."""
    answer_s: float = 0.0
    in_flight: dict[str, int] = field(default_factory=dict)
    most_in_flight: dict[str, int] = field(default_factory=dict)
    """By the body's `payload[stripe_customer_id]`."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            await self._answer(await _read(reader), writer)
        finally:
            writer.close()

    async def _answer(self, request: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self.arrivals.append(time.monotonic())
        self.requests.append(request)
        behaviour = self.plan.pop(0) if self.plan else "answer"
        if behaviour in ("answer", "drop", "hang") and "idempotency-key" in request:
            self.effects.add(request["idempotency-key"])
        customer = parse_qs(request["body"]).get("payload[stripe_customer_id]", [""])[0]
        self.in_flight[customer] = self.in_flight.get(customer, 0) + 1
        self.most_in_flight[customer] = max(self.in_flight[customer], self.most_in_flight.get(customer, 0))
        await asyncio.sleep(60 if behaviour == "hang" else self.answer_s)
        self.in_flight[customer] -= 1
        if behaviour != "drop":
            writer.write(_response(behaviour, request))
            await writer.drain()


@asynccontextmanager
async def wire_server(*plan: Behaviour) -> AsyncIterator[WireServer]:
    """Listen on a free port of this machine."""
    state = WireServer(list(plan))
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> dict[str, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *headers = head.strip().split("\r\n")
    request = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in headers)}
    body = await reader.readexactly(int(request.get("content-length", "0")))
    return {**request, "line": line, "body": body.decode()}


def _response(behaviour: Behaviour, request: dict[str, str]) -> bytes:
    body: dict[str, Any] = {"id": "cus_1", "object": "customer", "client_secret": "seti_1_secret_hidden"}
    extra = ""
    if behaviour != "answer":
        token = request["authorization"].removeprefix("Bearer ")
        body = {"error": {"type": "api_error", "message": f"Invalid API Key provided: {token}, card 4242424242424242"}}
    if behaviour == "throttle":
        extra = "Retry-After: 1\r\n"
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {_STATUS[behaviour]} x\r\nContent-Length: {len(content)}\r\nRequest-Id: req_wire\r\n{extra}"
    return f"{head}Connection: close\r\n\r\n".encode() + content
