"""The Stripe simulator as a process of its own, as `meterstream up` runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from devstack.ports import free_port
from devstack.process import ChildProcess, Command
from devstack.stripe_simulator.config import SimulatorConfig
from runtime.settings import StripeSettings

_KEY = "sk_test_of_the_process"


@dataclass(frozen=True)
class SimulatorProcess:
    """Where it is, and its control API."""

    url: str
    control: httpx.Client
    child: ChildProcess
    config: Path
    api_key: str = _KEY

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.child.start(Command([sys.executable, "-m", "devstack.stripe_simulator", str(self.config)]))
        self.child.wait_until(lambda: _is_alive(self.control), timeout_s=30, advice="Read the log.")

    def kill(self) -> None:
        """End it in the middle of everything; `start` finds what was stored in a file."""
        self.child.kill()
        self.child.stop()

    def settings(self, **changes: Any) -> StripeSettings:
        """Return what a gateway needs."""
        return StripeSettings(api_key=SecretStr(self.api_key), api_base=self.url, **changes)

    def break_things(self, *rules: dict[str, Any], **plan: Any) -> None:
        """Let go wrong what the rules say, from now on."""
        self.control.put("/_simulator/faults", json={"rules": rules, **plan}).raise_for_status()

    def calls(self) -> list[dict[str, Any]]:
        """Return every call of the API so far."""
        found: list[dict[str, Any]] = self.control.get("/_simulator/calls").raise_for_status().json()["data"]
        return found

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        found: list[dict[str, Any]] = self.control.get(f"/_simulator/objects/{kind}").raise_for_status().json()["data"]
        return found


@contextmanager
def simulator_process(directory: Path, *, api_key: str = _KEY, **config: Any) -> Iterator[SimulatorProcess]:
    """Start one on a free port, and stop it in the end."""
    told = SimulatorConfig(port=free_port(), api_key=api_key, **config)
    told.save(directory / "simulator.json")
    child = ChildProcess("stripe-simulator", directory / "run", directory / "log")
    with httpx.Client(base_url=told.base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30) as control:
        running = SimulatorProcess(told.base_url, control, child, directory / "simulator.json", api_key)
        try:
            running.start()
            yield running
        finally:
            child.stop()


def _is_alive(control: httpx.Client) -> bool:
    try:
        return control.get("/_simulator/health").is_success
    except httpx.TransportError:
        return False
