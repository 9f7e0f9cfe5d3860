"""A whole stack, a person with a browser, and our API in between: Stripe's pages sell, and our API knows of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.state import find_stack
from tests.browser.visitor import Visitor
from tests.engines import TestStack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Seller:
    """A stack that is up, as its operator types commands at it."""

    state_dir: Path

    def run(self, *arguments: str) -> str:
        """Run a command; return what it prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("METERSTREAM_")}
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env={**environment, "METERSTREAM_STATE_DIR": str(self.state_dir)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def client(self, credential: str) -> httpx.Client:
        """Return a client of the API."""
        stack = find_stack(self.state_dir)
        assert stack is not None
        url = next(part.url for part in stack.parts if part.name == "api")
        return httpx.Client(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {credential}"}, timeout=30, trust_env=False
        )


@pytest.fixture(scope="module")
def seller() -> Iterator[Seller]:
    """Everything that `up` starts, on free ports; it sells `pro`."""
    seller = Seller(Path(tempfile.mkdtemp(prefix="meterstream-seller-")))
    try:
        TestStack(seller.state_dir).embedded.stack.save()
        seller.run("up", "--detach")
        key = seller.run(
            "keys", "create", "shop", "--organization", "acme", "--create-organization", "--scope", "admin"
        )
        price = {"slug": "base", "kind": "flat", "interval": "month", "currencies": {"usd": {"amount": "29.00"}}}
        with seller.client(key) as api:
            _created(api.post("/plans", json={"slug": "pro", "name": "Pro", "prices": [price], "activate": True}))
        yield seller
    finally:
        seller.run("down")
        shutil.rmtree(seller.state_dir, ignore_errors=True)


def test_who_checks_out_is_active_and_who_cancels_in_the_portal_is_leaving(
    seller: Seller, visitor: Visitor, ours: str
) -> None:
    person = f"jenny-{visitor.name}"
    token = seller.run("tokens", "create", "--user", person, "--email", f"{person}@example.com")
    with seller.client(token) as api:
        bought = {"plan": "pro", "organization": "acme", "success_url": f"{ours}/done", "cancel_url": f"{ours}/back"}
        checkout = _created(api.post("/checkout", json=bought))
        visitor.open(checkout["url"])
        visitor.type_card("4242 4242 4242 4242")
        visitor.press("Subscribe and pay $29.00")
        assert visitor.page.url == f"{ours}/done"
        # Nobody asks Stripe here: the list is Postgres alone, which hears of it by webhook, Kafka and a worker.
        wait_for("the API says active", lambda: _standing(api) == ("active", False), timeout_s=60)

        portal = _created(api.post("/portal", json={"return_url": f"{ours}/account"}))
        visitor.open(portal["url"])
        visitor.page.get_by_text("Cancel the subscription").click()
        visitor.press("Cancel it")
        assert visitor.reads("Ends on")
        wait_for("the API says that it ends", lambda: _standing(api) == ("active", True), timeout_s=60)
        visitor.page.get_by_role("link", name="Back").click()
        assert visitor.page.url == f"{ours}/account"


def _standing(api: httpx.Client) -> tuple[str, bool] | None:
    found: list[dict[str, Any]] = api.get("/subscriptions").json()["data"]
    return (found[0]["status"], found[0]["cancel_at_period_end"]) if found else None


def _created(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    made: dict[str, Any] = answer.json()
    return made
