"""A Stripe simulator for tests, every exchange with it held against Stripe's own document."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devstack.ports import LOOPBACK, free_port
from devstack.stripe_simulator.app import create_app
from devstack.stripe_simulator.config import SimulatorConfig
from runtime.settings import StripeSettings
from tests.contract.stripe_document import check_answer, check_event, check_object, check_request, stripe_document
from tests.engines import wait_for

_KEY = "sk_test_of_the_tests"
# Without the machine's authorities: to read these takes longer than a test's calls, and all is plain HTTP here.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class CheckedSimulator:
    """Where it is, and what did not fit so far."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self.api_key = _KEY
        self.problems: list[str] = []
        self.calls: list[tuple[str, str, int]] = []
        """Method, path and status of each call."""
        self._judged: set[str] = set()

    @property
    def settings(self) -> StripeSettings:
        """Return what a gateway needs."""
        return StripeSettings(api_key=SecretStr(self.api_key), api_base=self.url, max_requests_per_s=1_000)

    def client(self) -> httpx.Client:
        """Return a plain client that may come in."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=_NO_AUTHORITIES)

    def writes(self) -> list[tuple[str, str]]:
        """Return method and path of the calls that could change something."""
        return [(method, path) for method, path, _ in self.calls if method != "GET"]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind, newest first, as Stripe would send them."""
        with self.client() as client:
            found: list[dict[str, Any]] = client.get(f"/_simulator/objects/{kind}").json()["data"]
        return found

    def reset(self) -> None:
        """Let it forget everything; what it wrote so far is judged before."""
        self.check_all()
        with self.client() as client:
            assert client.post("/_simulator/reset").status_code == 200

    def check_all(self) -> set[str]:
        """Judge every event that it has written, and every object that it keeps; returns the events' types."""
        with self.client() as client:
            kinds = client.get("/_simulator/objects").json()
        events = self.objects("event") + self.objects("v2.core.event")
        for event in events:
            if event["id"] not in self._judged:
                self._judged.add(event["id"])
                self.problems += [f"event {event['type']}: {problem}" for problem in check_event(event)]
        for kind in kinds:
            if kind.startswith("_") or kind in ("event", "v2.core.event"):
                continue
            for obj in self.objects(kind):
                self.problems += [f"kept {problem}" for problem in check_object(obj)]
        return {event["type"] for event in events}

    def judge(
        self, method: str, path: str, form: list[tuple[str, str]], json_body: Any, *, status: int, answer: Any
    ) -> None:
        """Hold one exchange against the document."""
        self.calls.append((method, path, status))
        # What is refused as a wrong request was one; it is the refusal that must fit.
        if status not in (400, 404):
            asked = check_request(method, path, form, json_body=json_body)
            self.problems += [f"{method} {path} asked {problem}" for problem in asked]
        said = check_answer(method, path, status, answer)
        self.problems += [f"{method} {path} {status} said {problem}" for problem in said]


@contextmanager
def checked_simulator() -> Iterator[CheckedSimulator]:
    """Give a fresh simulator in this process. Everything it heard, said and wrote must fit in the end."""
    stripe_document()  # reading it takes seconds, in which a server must not stand still
    port = free_port()
    checked = CheckedSimulator(port)
    app = _Judged(create_app(SimulatorConfig(port=port, api_key=_KEY, tick_s=0.1)), checked)
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        wait_for("the simulator answers", lambda: server.started or not thread.is_alive())
        assert server.started
        yield checked
        checked.check_all()
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
    assert not checked.problems, "\n".join(dict.fromkeys(checked.problems))


class _Judged:
    """Passes calls of the API on, and shows both sides to the judge just before the answer's end goes out.

    Not after it: who has its answer may ask at once what was called.
    """

    def __init__(self, app: ASGIApp, checked: CheckedSimulator) -> None:
        self._app = app
        self._checked = checked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", "/v2/")):
            await self._app(scope, receive, send)
            return
        heard, said = bytearray(), bytearray()
        status = 0

        async def hear() -> Message:
            message = await receive()
            heard.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            said.extend(message.get("body", b""))
            # An answer that is lost on purpose has no end.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._judge(scope, status, bytes(heard), bytes(said))
            await send(message)

        await self._app(scope, hear, say)

    def _judge(self, scope: Scope, status: int, heard: bytes, said: bytes) -> None:
        is_json = scope["path"].startswith("/v2/") and bool(heard)
        texts = (scope["query_string"], b"" if is_json else heard)
        form = [pair for text in texts for pair in parse_qsl(text.decode(), keep_blank_values=True)]
        sent = json.loads(heard) if is_json else None
        self._checked.judge(scope["method"], scope["path"], form, sent, status=status, answer=json.loads(said))
