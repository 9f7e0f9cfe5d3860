"""Our own processes, the API and the workers, started beside the engines exactly as an operator would start them."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.ports import LOOPBACK
from devstack.process import ChildProcess, Command, PartFailed


@dataclass(frozen=True)
class ServiceSpec:
    """One process: `python -m cli.main <arguments>`; `port_variable` is how it is told its port."""

    name: str
    arguments: tuple[str, ...]
    port_variable: str
    usual_port: int


SERVICES = (
    ServiceSpec("api", ("api",), "METERSTREAM_API__PORT", 8000),
    ServiceSpec("metering", ("worker", "metering"), "METERSTREAM_WORKER__PORT", 8101),
    ServiceSpec("warehouse", ("worker", "warehouse"), "METERSTREAM_WORKER__PORT", 8102),
    ServiceSpec("billing", ("worker", "billing"), "METERSTREAM_WORKER__PORT", 8103),
    ServiceSpec("jobs", ("worker", "jobs"), "METERSTREAM_WORKER__PORT", 8104),
)


class Service:
    """A service of one state directory, on the stack that `environment` points to."""

    advice = "`meterstream status` shows what else runs; settings are the METERSTREAM_* variables."

    def __init__(self, spec: ServiceSpec, state_dir: Path, port: int, environment: Mapping[str, str]) -> None:
        self.name = spec.name
        self.url = f"http://{LOOPBACK}:{port}"
        self.health_url = f"{self.url}/readyz"
        self.process = ChildProcess(spec.name, state_dir / "run", state_dir / "logs")
        self._spec = spec
        self._last_answer = "none"
        self._environment = {**environment, spec.port_variable: str(port), "METERSTREAM_STATE_DIR": str(state_dir)}

    def prepare(self) -> None:
        """Nothing is kept between runs but what the engines hold."""

    def start(self, *, detached: bool = False) -> None:
        """Start the process; `wait_ready` tells when it does its work."""
        argv = [sys.executable, "-m", "cli.main", *self._spec.arguments]
        self.process.start(Command(argv, env=self._environment, stop_timeout_s=30.0), detached=detached)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once it says that it is ready; a worker, once it has its partitions."""
        try:
            self.process.wait_until(self._has_work, timeout_s=timeout_s, advice=self.advice)
        except PartFailed as exc:
            raise PartFailed(f"{exc.message}\nIts last answer: {self._last_answer}", part=self.name) from exc

    def is_healthy(self) -> bool:
        """Tell whether the process is ours and says that it is ready."""
        return self.process.is_running() and self._report() is not None

    def _has_work(self) -> bool:
        report = self._report() if self.process.is_running() else None
        return report is not None and report.get("partitions") != []

    def _report(self) -> dict[str, object] | None:
        """Return what `/readyz` says, None unless it is 200."""
        try:
            with urllib.request.urlopen(self.health_url, timeout=2.0) as answer:  # noqa: S310 - our own loopback URL
                report = json.load(answer)
        except urllib.error.HTTPError as exc:
            self._last_answer = exc.read().decode(errors="replace")
            return None
        except (OSError, ValueError) as exc:
            self._last_answer = str(exc)
            return None
        return report if isinstance(report, dict) else {}
