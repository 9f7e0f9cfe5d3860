"""Meterstream's processes as children of a test: started, killed, stopped, frozen; a failure shows their logs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from runtime.settings import Settings

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_START_TIMEOUT_S = 60.0


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment in which a command finds these settings, whatever ours says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("METERSTREAM_")}
    # Restarts are what these tests wait for most: without compiled modules each takes seconds longer.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "meterstream-pycache")
    password = settings.clickhouse.password
    said = {
        "STATE_DIR": str(settings.state_dir),
        "LOG_LEVEL": settings.log_level,
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "POSTGRES__URL": settings.postgres.url.get_secret_value(),
        "CLICKHOUSE__URL": settings.clickhouse.url,
        "CLICKHOUSE__DATABASE": settings.clickhouse.database,
        "CLICKHOUSE__PASSWORD": "" if password is None else password.get_secret_value(),
        "API__PORT": str(settings.api.port),
        "WORKER__INDEX_DIR": str(settings.worker.index_dir),
        **more,
    }
    return env | {f"METERSTREAM_{name}": value for name, value in said.items()} | {"POLARS_MAX_THREADS": "1"}


class Child:
    """One `meterstream` command; use as a context manager: whatever happens, it is gone afterwards."""

    def __init__(self, name: str, arguments: list[str], env: dict[str, str], log_dir: Path) -> None:
        self.name = name
        self.log_file = log_dir / f"{name}.log"
        self._argv = [sys.executable, "-m", "cli.main", *arguments]
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> Self:
        """Start it, or start it again after its end."""
        assert not self.is_running(), f"{self.name} runs already"
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call
            )
        return self

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=20)

    def fetched_at_end(self) -> float:
        """Return how many records an ended worker had fetched, which is the last thing that it says."""
        found = re.findall(r'"worker ends".*?"records_fetched": (\d+)', self.log())
        assert found, self.tail()
        return float(found[-1])

    def terminate(self, *, timeout_s: float = 20.0) -> int:
        """Send SIGTERM and return the exit code."""
        self._send(signal.SIGTERM)
        return self.wait(timeout_s=timeout_s)

    def freeze(self) -> None:
        """Stop the process where it is."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._send(signal.SIGCONT)

    def wait(self, *, timeout_s: float = _START_TIMEOUT_S) -> int:
        """Wait for the end and return the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout_s:.0f} s\n{self.tail()}") from None

    def wait_for_log(self, text: str, *, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until the log of this run says `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log():
            assert self.is_running(), f"{self.name} ended before it said {text!r}\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} did not say {text!r} in {timeout_s:.0f} s\n{self.tail()}"
            time.sleep(0.05)

    def assert_running(self) -> None:
        """Fail with the end of the log if it ended by itself."""
        assert self.is_running(), f"{self.name} ended by itself\n{self.tail()}"

    def log(self) -> str:
        """Return what this run has logged."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, count: int = 30) -> str:
        """Return the end of the log."""
        lines = self.log_file.read_text(errors="replace").splitlines()[-count:]
        return f"--- {self.log_file.name}\n" + "\n".join(lines)

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric of the worker, samples of other labels added up."""
        self.wait_for_log('"health_port"')
        found = re.findall(r'"health_port": ?(\d+)', self.log())
        text = httpx.get(f"http://127.0.0.1:{found[-1]}/metrics", timeout=10).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running():
            assert self._process is not None
            self._process.kill()
            self._process.wait(timeout=20)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
