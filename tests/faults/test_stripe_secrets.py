"""Secrets stay secret in a run in which everything fails: all logs, messages and traces of it are searched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.stripe_errors import CARD
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process

pytestmark = pytest.mark.faults

_ROOT = Path(__file__).parents[2]
_PLANS = _ROOT / "docs" / "plans.example.yaml"
_KEY = "sk_test_51KnownToNobodyElse"
_WEBHOOK_SECRETS = ("whsec_TheNewOneOfTwo", "whsec_TheOldOneOfTwo")
_PASSWORD = "a-password-of-postgres"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A Stripe whose key is known to be secret."""
    with simulator_process(tmp_path, api_key=_KEY) as running:
        yield running


def _run(process: SimulatorProcess, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    told = {
        "METERSTREAM_LOG_LEVEL": "DEBUG",
        "METERSTREAM_POSTGRES__CONNECT_TIMEOUT_S": "1",
        "METERSTREAM_POSTGRES__URL": f"postgresql://meterstream:{_PASSWORD}@127.0.0.1:1/meterstream",
        "METERSTREAM_STRIPE__API_BASE": process.url,
        "METERSTREAM_STRIPE__API_KEY": _KEY,
        "METERSTREAM_STRIPE__WEBHOOK_SECRETS": ",".join(_WEBHOOK_SECRETS),
    }
    argv = [sys.executable, "-m", *arguments]
    env = {**os.environ, **told, **changes}
    return subprocess.run(argv, env=env, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=120)


def _pay_on_the_page(process: SimulatorProcess) -> list[str]:
    """Let a customer type a card that is declined; returns what of it is secret."""

    def post(path: str, **form: object) -> dict[str, str]:
        answer = process.control.post(path, data=form)
        assert answer.is_success, answer.text
        found: dict[str, str] = answer.json()
        return found

    hook = post("/v1/webhook_endpoints", **{"url": f"{process.url}/nobody", "enabled_events[]": "*"})
    session = post("/v1/checkout/sessions", mode="setup", currency="usd", success_url="http://127.0.0.1/done")
    typed = {"email": "ada@example.com", "number": CARD, "expiry": "12/34", "cvc": "987"}
    assert httpx.post(session["url"], data=typed, trust_env=False).status_code == 402
    return [hook["secret"]]


def test_no_secret_is_in_what_a_failing_run_writes(process: SimulatorProcess) -> None:
    secrets = [_KEY, _KEY[::-1], *_WEBHOOK_SECRETS, _PASSWORD, CARD, *_pay_on_the_page(process)]
    written: dict[str, str] = {}
    for style in ("json", "console"):
        process.control.post("/_simulator/reset").raise_for_status()
        met = _run(process, "tests.faults.stripe_errors", style)
        assert met.returncode == 0, met.stderr[-2_000:]
        secrets.append(json.loads(met.stdout)["client_secret"])
        assert "A call to Stripe" in met.stderr, "this is not the level DEBUG"
        assert met.stderr.count("Traceback") >= 30
        written[style] = met.stderr
    for name, code, changes in (
        ("published", 0, {}),
        ("unknown key", 1, {"METERSTREAM_STRIPE__API_KEY": _KEY[::-1]}),
        ("no number", 1, {"METERSTREAM_STRIPE__TIMEOUT_S": _KEY}),
    ):
        done = _run(process, "cli.main", "plans", "publish", str(_PLANS), "--yes", **changes)
        assert done.returncode == code, done.stderr[-2_000:]
        written[name] = done.stdout + done.stderr
    written["simulator"] = process.child.log_file.read_text()
    found = [(name, secret) for name, text in written.items() for secret in secrets if secret in text]
    assert found == []
