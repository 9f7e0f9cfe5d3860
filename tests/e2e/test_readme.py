"""The README's lines, run as they stand against what `meterstream up` started."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.engines import TestStack

README = (Path(__file__).parents[2] / "README.md").read_text()
BIN = Path(sys.executable).parent
VISIBLE_S = 30.0
"""Of patience, not a target: this machine may be busy with other tests."""


@dataclass(frozen=True)
class Shell:
    """Where a reader of the README types."""

    state_dir: Path

    def run(self, script: str) -> list[str]:
        """Run lines in bash and return what they print."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("METERSTREAM_")}
        environment |= {"METERSTREAM_STATE_DIR": str(self.state_dir), "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().splitlines()


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A stack on free ports, in a temporary directory."""
    shell = Shell(Path(tempfile.mkdtemp(prefix="meterstream-readme-")))
    try:
        TestStack(shell.state_dir).embedded.stack.save()
        shell.run("meterstream up --detach")
        yield shell
    finally:
        shell.run("meterstream down")
        shutil.rmtree(shell.state_dir, ignore_errors=True)


def lines_of_readme() -> tuple[str, str]:
    """Return the README's lines until the events are sent, and those that look at what came of them."""
    (script,) = (block for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) if "keys create" in block)
    before, mark, after = script.partition("# A second later")
    assert mark, "the README no longer says where it waits"
    return before.replace("$PWD/.venv/bin", str(BIN)), mark + after


def lines_that_sell() -> tuple[str, str]:
    """Return the README's lines until the customer is sent to checkout, and those after they have paid."""
    (script,) = (block for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) if "tokens create" in block)
    before, mark, after = script.partition("# What Stripe's events")
    assert mark, "the README no longer says where the customer pays"
    return before, mark + after


def url_of_api(shell: Shell) -> str:
    """Return where the stack's API is."""
    parts = json.loads(shell.run("meterstream status --json")[-1])["parts"]
    return str(next(part["url"] for part in parts if part["name"] == "api"))


@pytest.mark.e2e
def test_lines_of_the_readme_work(shell: Shell) -> None:
    url = url_of_api(shell)
    send, look = lines_of_readme()
    assert "http://127.0.0.1:8000" in send

    send = send.replace("http://127.0.0.1:8000", url).replace("\ncurl", "\necho; curl")
    created, answer, key = filter(None, shell.run(send + "\necho; echo $KEY"))
    assert json.loads(created)["slug"] == "tokens"
    assert answer in README, "the README shows another answer"

    look = f"API={url} KEY={key}\n{look}"
    waited_until = time.monotonic() + VISIBLE_S
    while '"value":"1250.5"' not in (seen := "\n".join(shell.run(look))) and time.monotonic() < waited_until:
        time.sleep(0.2)
    assert '"value":"1250.5"' in seen
    assert "window_start" in seen, "no CSV"
    assert '"code":"METER_VALUE_INVALID"' in seen
    assert "The books agree." in seen


@pytest.mark.e2e
def test_the_first_plan_is_sold_by_the_readme(shell: Shell) -> None:
    key = shell.run("meterstream keys create seller --organization acme --create-organization --scope admin")[-1]
    given = f"API={url_of_api(shell)} KEY={key}\n"
    sell, look = lines_that_sell()
    sell = sell.replace("\ncurl", "\necho; curl") + "\necho; echo $TOKEN"
    plan, checkout, token = filter(None, shell.run(given + sell))
    assert json.loads(plan)["state"] == "active"
    httpx.post(json.loads(checkout)["url"], data={"test_card": "4242424242424242"}, trust_env=False)

    given += f"TOKEN={token}\n"
    ask = f'{given}curl -s $API/api/v1/subscriptions -H "Authorization: Bearer $TOKEN"'
    waited_until = time.monotonic() + VISIBLE_S
    while '"status":"active"' not in shell.run(ask)[-1] and time.monotonic() < waited_until:
        time.sleep(0.2)
    seen = "\n".join(shell.run(given + look.replace("\ncurl", "\necho; curl")))
    assert '"status":"active"' in seen
    assert '"total_minor":2900' in seen
    assert '"cancel_at_period_end":true' in seen
    assert '"kind":"cancel_scheduled"' in seen
