"""`meterstream up` until everything is ready: a second time on the same data, and the first time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure, WrongNumbers
from benchmarks.session import Session

_TIMEOUT_S = 240.0
_OTHERS = ("METERSTREAM_KAFKA__", "METERSTREAM_POSTGRES__", "METERSTREAM_CLICKHOUSE__")


def startup(session: Session) -> Iterator[Figure]:
    """Call the command itself, in a state directory of its own."""
    state_dir = session.engines.state_dir / "startup"
    # An engine that the environment names would not be started.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    environment = {**inherited, "METERSTREAM_STATE_DIR": str(state_dir)}
    seconds: list[float] = []
    for _ in range(2):
        try:
            began = time.perf_counter()
            _meterstream(environment, state_dir, "up", "--detach")
            seconds.append(time.perf_counter() - began)
        finally:
            _meterstream(environment, state_dir, "down")
    yield Figure("up_warm", seconds[1], "s", target=15, details={"with_empty_state_s": round(seconds[0], 1)})


def _meterstream(environment: Mapping[str, str], state_dir: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=dict(environment),
            cwd=state_dir.parent,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise TimeoutError(f"meterstream {' '.join(arguments)} was not through in {_TIMEOUT_S:.0f} s") from exc
    if done.returncode:
        raise WrongNumbers(f"meterstream {' '.join(arguments)} failed:\n{done.stdout[-1_000:]}{done.stderr[-1_000:]}")
