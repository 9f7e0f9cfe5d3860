"""`meterstream demo` as `make demo` types it, where nothing was before: engines, migrations, workers, every number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_demo_counts_the_trace_exactly(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("METERSTREAM_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--json"],
        env={**inherited, "METERSTREAM_STATE_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert report["equal"]
    assert report["input_tokens"] == report["expected_input_tokens"] == 18_059_974
    assert report["output_tokens"] == report["expected_output_tokens"] == 245_896
    assert report["counted_postgres"] == report["counted_clickhouse"]
    assert report["counted_postgres"] > 8_819
    # Conservation, as anyone can check it from the line.
    assert report["sent"] == report["accepted"] + report["rejected"]
    assert report["accepted"] == report["counted_postgres"] + report["duplicates"] + report["dead_letters"]
    assert report["duplicates"] == 441
    assert report["conflicts"] == 45
    # Of librdkafka's quarter of the records most have their home elsewhere.
    assert report["forwarded"] > 1_500
    assert report["rejected"] > 30
    # The base fee of the coming month, and usage beyond the least that a month costs.
    assert report["invoice_cents"] > 4_900 + 500
    assert report["subscriptions_match_stripe"] is report["invoices_match_stripe"] is True
    assert report["dead_letters"] > report["conflicts"]
    assert not (tmp_path / "none").exists()
