"""Child processes: found again by pid file, never confused with somebody else's, always ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from devstack.process import ChildProcess, Command, PartFailed

pytestmark = pytest.mark.unit

_SLEEPS = [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(60)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


@pytest.fixture
def child(tmp_path: Path) -> ChildProcess:
    return ChildProcess("part", tmp_path / "run", tmp_path / "logs")


def _wait_for_log(child: ChildProcess, text: str) -> None:
    child.wait_until(lambda: text in child.last_lines(), timeout_s=20, advice="")


def test_stop_ends_it_and_another_command_finds_it(child: ChildProcess, tmp_path: Path) -> None:
    child.start(Command(_SLEEPS))
    _wait_for_log(child, "hello")
    same = ChildProcess("part", tmp_path / "run", tmp_path / "logs")
    assert same.pid == child.pid
    assert same.is_running()
    child.stop()
    assert not same.is_running()
    assert not child.pid_file.exists()
    child.stop()


def test_another_command_can_stop_it(child: ChildProcess, tmp_path: Path) -> None:
    child.start(Command(_SLEEPS))
    ChildProcess("part", tmp_path / "run", tmp_path / "logs").stop()
    assert not child.is_running()


def test_a_deaf_process_is_killed(child: ChildProcess) -> None:
    child.start(Command(_STUBBORN, stop_timeout_s=0.3))
    _wait_for_log(child, "deaf")
    child.stop()
    assert not child.is_running()


def test_a_reused_pid_is_not_ours(child: ChildProcess) -> None:
    child.pid_file.parent.mkdir(parents=True)
    record = {"pid": os.getpid(), "started_at": psutil.Process().create_time() - 100, "stop_signal": 15}
    child.pid_file.write_text(json.dumps({**record, "stop_timeout_s": 1}))
    assert not child.is_running()
    child.stop()  # Or this test run would end here.
    assert not child.pid_file.exists()


def test_kill_takes_the_children_along_and_leaves_the_pid_file(child: ChildProcess) -> None:
    child.start(Command(_SLEEPS))
    child.kill()
    assert not child.is_running()
    assert child.pid_file.exists()


def test_the_end_of_the_log_explains_a_failure(child: ChildProcess) -> None:
    child.start(Command([sys.executable, "-c", "raise SystemExit('the disk is full')"]))
    with pytest.raises(PartFailed, match=r"(?s)ended while starting.*the disk is full.*make room.*part\.log"):
        child.wait_until(lambda: False, timeout_s=20, advice="make room")
    child.stop()


def test_a_slow_start_is_given_up(child: ChildProcess) -> None:
    child.start(Command(_SLEEPS))
    with pytest.raises(PartFailed, match="not ready after 0 s"):
        child.wait_until(lambda: False, timeout_s=0.1, advice="")
    child.stop()


@pytest.mark.parametrize("detached", [False, True])
def test_it_ends_with_its_parent_unless_detached(tmp_path: Path, detached: bool) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from devstack.process import ChildProcess, Command\n"
        f"child = ChildProcess('part', Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))\n"
        f"child.start(Command({_SLEEPS!r}), detached={detached}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    orphan = ChildProcess("part", tmp_path, tmp_path)
    deadline = time.monotonic() + (1.0 if detached else 20.0)
    while orphan.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert orphan.is_running() is detached
    orphan.stop()
