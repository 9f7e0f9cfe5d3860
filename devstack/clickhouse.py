"""ClickHouse as a child process: our HTTP server over the embedded engine (chdb)."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from devstack.clickhouse_server.config import Reader, ServerConfig
from devstack.ports import LOOPBACK
from devstack.process import ChildProcess, Command

USUAL_PORT = 8123
USER = "default"
DATABASE = "meterstream"


class Clickhouse:
    """One server with its data under `state_dir/clickhouse`; users are `default` and the read-only `dashboards`."""

    name = "clickhouse"
    advice = "Another program may hold the port or the data; `meterstream down` and `up --fresh` begin anew."

    def __init__(self, state_dir: Path, port: int, password: str, reader: Reader) -> None:
        self.state_dir = state_dir.resolve()
        self.port = port
        self.password = password
        self.reader = reader
        self.process = ChildProcess(self.name, self.state_dir / "run", self.state_dir / "logs")
        self._config_file = self.state_dir / "run" / "clickhouse.json"

    @property
    def url(self) -> str:
        """Return the address, without credentials."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the server's configuration."""
        ServerConfig(
            host=LOOPBACK,
            port=self.port,
            data_dir=self.state_dir / "clickhouse",
            database=DATABASE,
            owner=USER,
            owner_password=self.password,
            reader=self.reader,
        ).save(self._config_file)

    def start(self, *, detached: bool = False) -> None:
        """Start the server; `wait_ready` tells when it answers."""
        argv = [sys.executable, "-m", "devstack.clickhouse_server", str(self._config_file)]
        # Times are UTC everywhere; the engine takes its zone from the process.
        self.process.start(Command(argv, env={"TZ": "UTC"}), detached=detached)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the server answers."""
        self.process.wait_until(self.is_healthy, timeout_s=timeout_s, advice=self.advice)

    def is_healthy(self) -> bool:
        """Tell whether the server is ours and answers."""
        if not self.process.is_running():
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2.0) as answer:  # noqa: S310 - our own loopback URL
                return bool(answer.status == 200)
        except OSError:
            return False
