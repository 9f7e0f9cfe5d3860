"""The benchmark runs, recounts what it measured, and says a line a figure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.books import Books
from benchmarks.figures import WrongNumbers
from benchmarks.load import Load, LoadShape
from runtime.clock import utc_now
from runtime.settings import Settings

pytestmark = pytest.mark.integration


def test_quick_metering_figures() -> None:
    command = [sys.executable, "-m", "cli.main", "bench", "--quick", "--json", "--events", "40000"]
    done = subprocess.run([*command, "--only", "metering"], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    figures = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert figures.keys() == {"stock_faust", "metering", "metering_memory"}
    metering = figures["metering"]
    assert metering["unit"] == "events/s"
    assert metering["value"] > 0
    assert metering["baseline"] == figures["stock_faust"]["value"]
    assert metering["on"]["subjects"] == 10_000
    assert metering["details"]["worker_rss_mb"] > 0


def test_a_count_that_is_not_the_generators_is_no_figure(settings: Settings) -> None:
    expected = Load(LoadShape(events=1_000), partitions=4, until=utc_now()).expected()
    with Books(settings) as books:
        books.check(replace(expected, records=0, duplicates=0, counts=expected.counts * 0, sums=expected.sums * 0), [])
        with pytest.raises(WrongNumbers, match=r"found .*, expected .*1000"):
            books.check(expected, [])


def test_an_unknown_figure_is_refused() -> None:
    command = [sys.executable, "-m", "cli.main", "bench", "--only", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "metering_loads" in done.stderr
