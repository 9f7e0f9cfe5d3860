"""A supervised child process: pid file, log file, clean stop. Every part of the embedded stack is one."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

import psutil

from runtime.errors import Unavailable

# Two readings of one process's start time differ by rounding only; a re-used pid starts at least a tick later.
_START_TIME_TOLERANCE_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class PartFailed(Unavailable):
    """A part of the stack did not start or did not answer; the message holds the end of its log."""

    code = "PART_FAILED"


@dataclass(frozen=True)
class Command:
    """What to run, and how it likes to be stopped."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    stop_signal: Signals = Signals.SIGTERM
    stop_timeout_s: float = 20.0


class ChildProcess:
    """One child process, known by its pid file, so that another `meterstream` command finds and stops it too."""

    def __init__(self, name: str, run_dir: Path, log_dir: Path) -> None:
        self.name = name
        self.pid_file = run_dir / f"{name}.pid"
        self.log_file = log_dir / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid while our process runs, else None."""
        process = self._find()
        return None if process is None else process.pid

    def is_running(self) -> bool:
        """Tell whether the process that we started is alive: same pid and same start time."""
        return self._find() is not None

    def start(self, command: Command, *, detached: bool = False) -> None:
        """Start `command` in a session of its own. Unless detached, it ends when the calling thread ends (Linux)."""
        for directory in (self.pid_file.parent, self.log_file.parent):
            directory.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                list(command.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                env={**os.environ, **command.env},
                user=command.user,
                group=command.user,
                extra_groups=[] if command.user else None,
                start_new_session=True,
                preexec_fn=None if detached else _end_with_parent(command.stop_signal),  # noqa: PLW1509 - one system call
            )
        started_at = psutil.Process(self._popen.pid).create_time()
        record = {
            "pid": self._popen.pid,
            "started_at": started_at,
            "stop_signal": int(command.stop_signal),
            "stop_timeout_s": command.stop_timeout_s,
        }
        temporary = self.pid_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(record))
        temporary.replace(self.pid_file)

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float, advice: str) -> None:
        """Poll `ready` until it is true.

        Raises:
            PartFailed: the process ended or the time is over; the message holds the end of its log and `advice`.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.is_running():
                raise self.failure("ended while starting", advice)
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {timeout_s:.0f} s", advice)
            time.sleep(0.05)

    def failure(self, what: str, advice: str) -> PartFailed:
        """Return the error that shows the end of the log."""
        return PartFailed(
            f"{self.name} {what}.\n{self.last_lines()}\n{advice}\nWhole log: {self.log_file}", part=self.name
        )

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-count:])
        return ""

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once, so that several processes end side by side."""
        process = self._find()
        if process is not None:
            self._send(process, Signals(int(self._record()["stop_signal"])))

    def stop(self) -> None:
        """Ask the process to end, then kill it; a process that does not run is fine."""
        process = self._find()
        if process is None:
            self._forget()
            return
        record = self._record()
        self._send(process, Signals(int(record.get("stop_signal", Signals.SIGTERM))))
        if not self._wait_for_end(process, float(record.get("stop_timeout_s", 20.0))):
            self._send(process, Signals.SIGKILL)
            self._wait_for_end(process, 10.0)
        self._forget()

    def kill(self) -> None:
        """Send SIGKILL and wait for the end of it and its children: what a crash does. The pid file stays."""
        process = self._find()
        if process is not None:
            children = process.children(recursive=True)
            self._send(process, Signals.SIGKILL)
            self._wait_for_end(process, 10.0)
            # Postgres's backends end by themselves once they notice; until then they hold its shared memory.
            psutil.wait_procs(children, timeout=10.0)

    def _wait_for_end(self, process: psutil.Process, timeout_s: float) -> bool:
        """Wait, collecting our own child's exit status so that it leaves no zombie."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._find() is None:
                return True
            if self._popen is not None and self._popen.pid == process.pid:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(timeout=0.05)
            else:
                time.sleep(0.05)
        return self._find() is None

    @staticmethod
    def _send(process: psutil.Process, number: Signals) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)

    def _record(self) -> dict[str, float]:
        try:
            record: dict[str, float] = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return record

    def _find(self) -> psutil.Process | None:
        # Collects the exit status of our own child, also of one that another command stopped.
        ended = self._popen is not None and self._popen.poll() is not None
        record = self._record()
        if not record or (ended and self._popen is not None and self._popen.pid == record["pid"]):
            return None
        try:
            process = psutil.Process(int(record["pid"]))
            ours = abs(process.create_time() - record["started_at"]) <= _START_TIME_TOLERANCE_S
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if ours and alive else None

    def _forget(self) -> None:
        if self._popen is not None:
            self._popen.wait(timeout=10)
            self._popen = None
        self.pid_file.unlink(missing_ok=True)


def _end_with_parent(number: Signals) -> Callable[[], None] | None:
    """Return what the child runs before exec, so that the kernel ends it when whoever started it dies."""
    if _LIBC is None:
        return None
    libc = _LIBC

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))

    return ask_kernel
