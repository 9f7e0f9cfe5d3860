"""The benchmark runs, recounts what it measured, and says a line a figure."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.books import Books
from benchmarks.figures import WrongNumbers
from benchmarks.http_load import at_full_speed, request
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


def test_quick_figures_of_selling() -> None:
    command = [sys.executable, "-m", "cli.main", "bench", "--quick", "--json"]
    only = [word for name in ("plan_list", "stripe_webhooks", "subscription_read") for word in ("--only", name)]
    done = subprocess.run([*command, *only], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    figures = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    targets = {"plan_list": 3_000, "stripe_webhooks": 1_000, "stripe_webhook_p99": 25, "subscription_read_p99": 10}
    assert {name: figure["target"] for name, figure in figures.items()} == targets
    assert all(figure["value"] > 0 for figure in figures.values())
    assert figures["stripe_webhook_p99"]["details"]["stored"] == 1_200
    assert figures["subscription_read_p99"]["on"]["stored_subscriptions"] == 10_000


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


async def test_an_answer_that_is_no_200_is_no_figure() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(WrongNumbers, match="503: b'busy'"):
            await at_full_speed(url, [request("GET", "/")], connections=1, check=lambda _, __: None)
