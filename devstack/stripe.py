"""Stripe's simulator as a child process: what stands in for Stripe while no key of theirs is set."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from devstack.ports import LOOPBACK
from devstack.process import ChildProcess, Command
from devstack.stripe_simulator.config import SimulatorConfig

NAME = "stripe-simulator"
USUAL_PORT = 12111
"""The port on which people expect a mock of Stripe."""


class StripeSimulator:
    """One simulator with its state under `state_dir/stripe`."""

    name = NAME
    advice = "Another program may hold the port; set METERSTREAM_STRIPE__API_KEY to use Stripe itself."

    def __init__(
        self, state_dir: Path, port: int, api_key: str, *, webhook_url: str | None = None, webhook_secret: str = ""
    ) -> None:
        self.state_dir = state_dir.resolve()
        self.port = port
        self.process = ChildProcess(self.name, self.state_dir / "run", self.state_dir / "logs")
        self._api_key, self._webhook_url, self._webhook_secret = api_key, webhook_url, webhook_secret
        self._config_file = self.state_dir / "run" / "stripe-simulator.json"

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the simulator's configuration."""
        folder = self.state_dir / "stripe"
        folder.mkdir(parents=True, exist_ok=True)
        SimulatorConfig(
            host=LOOPBACK,
            port=self.port,
            state_path=folder / "state.sqlite",
            api_key=self._api_key,
            webhook_url=self._webhook_url,
            webhook_secret=self._webhook_secret,
        ).save(self._config_file)

    def start(self, *, detached: bool = False) -> None:
        """Start the process; `wait_ready` tells when it answers."""
        argv = [sys.executable, "-m", "devstack.stripe_simulator", str(self._config_file)]
        self.process.start(Command(argv), detached=detached)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once it answers."""
        self.process.wait_until(self.is_healthy, timeout_s=timeout_s, advice=self.advice)

    def is_healthy(self) -> bool:
        """Tell whether the simulator is ours and answers."""
        if not self.process.is_running():
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/_simulator/health", timeout=2.0) as answer:  # noqa: S310 - our own loopback URL
                return bool(answer.status == 200)
        except OSError:
            return False
