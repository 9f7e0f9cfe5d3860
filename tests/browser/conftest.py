"""A browser, a shop at a simulator, and visitors with wide and narrow windows, with and without scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.browser.chromium import OPTIONS, chromium
from tests.browser.shop import Shop
from tests.browser.visitor import Visitor, watch
from tests.stripe_simulator import CheckedSimulator, checked_simulator

_WINDOWS: dict[str, tuple[ViewportSize, bool]] = {
    "desktop": ({"width": 1280, "height": 900}, True),
    "phone-without-scripts": ({"width": 390, "height": 844}, False),
}


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. It ends with these tests: asynchronous ones cannot run while its loop does."""
    path = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def one_simulator() -> Iterator[CheckedSimulator]:
    """Run one for all these tests: to start and to stop it takes as long as a visit."""
    with checked_simulator() as running:
        yield running


@pytest.fixture
def simulator(one_simulator: CheckedSimulator) -> Iterator[CheckedSimulator]:
    """Give each test a simulator that knows nothing; what does not fit Stripe's document fails it."""
    yield one_simulator
    one_simulator.reset()
    problems = list(dict.fromkeys(one_simulator.problems))
    one_simulator.problems.clear()
    assert problems == []


class _Ours(BaseHTTPRequestHandler):
    """The page that people come back to."""

    def do_GET(self) -> None:
        body = b'<!doctype html><title>Ours</title><link rel="icon" href="data:,"><h1>Back at the shop</h1>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""


@pytest.fixture(scope="package")
def ours() -> Iterator[str]:
    """Run a site of ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ours)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def shop(simulator: CheckedSimulator, ours: str) -> Iterator[Shop]:
    """A shop that is open."""
    with simulator.client() as api:
        made = Shop(api, ours)
        made.open()
        yield made


@pytest.fixture(params=_WINDOWS)
def visitor(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Somebody with a window of one kind; what went wrong in it fails the test."""
    size, scripts = _WINDOWS[request.param]
    context = browser.new_context(viewport=size, java_script_enabled=scripts, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(10_000)
    found = watch(context, request.param)
    yield found
    context.close()
    assert found.faults == []
