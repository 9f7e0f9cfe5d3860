"""Counts that processes share, on the real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from limits import parse
from pydantic import SecretStr

from devstack.valkey import Valkey
from runtime.errors import Unavailable
from runtime.settings import Settings, ValkeySettings
from sinks.valkey.client import ValkeyClient
from sinks.valkey.rate_limits import SharedLimits, Verdict
from tests.engines import start_again

pytestmark = pytest.mark.integration


class Clock:
    """A clock that tests turn."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def limits_of(valkey: ValkeySettings, clock: Clock) -> AsyncIterator[SharedLimits]:
    client = ValkeyClient(valkey, now=clock)
    try:
        yield SharedLimits(client, now=clock)
    finally:
        await client.close()


async def test_a_limit_holds_within_its_window_and_begins_again(settings: Settings) -> None:
    clock = Clock(1_000_000.0)
    async with limits_of(settings.valkey, clock) as limits:
        verdicts = [await limits.count("2/10 seconds", "key", "holds") for _ in range(3)]
        assert verdicts == [Verdict(2, 1, 10, False), Verdict(2, 0, 10, False), Verdict(2, 0, 10, True)]
        clock.now += 9
        assert await limits.count("2/10 seconds", "key", "holds") == Verdict(2, 0, 1, True)
        clock.now += 1
        assert await limits.count("2/10 seconds", "key", "holds") == Verdict(2, 1, 10, False)


async def test_each_who_and_each_kind_is_counted_alone(settings: Settings) -> None:
    async with limits_of(settings.valkey, Clock(2_000_000.0)) as limits:
        assert (await limits.count("1/minute", "key", "alone")).remaining == 0
        for kind, who in (("key", "other"), ("user", "alone")):
            assert not (await limits.count("1/minute", kind, who)).exceeded
        assert (await limits.count("1/minute", "key", "alone")).exceeded


async def test_two_processes_share_a_limit_and_lose_no_count(settings: Settings) -> None:
    clock = Clock(3_000_000.0)
    async with limits_of(settings.valkey, clock) as one, limits_of(settings.valkey, clock) as other:
        counts = [limits.count("60/minute", "key", "shared") for limits in (one, other) for _ in range(50)]
        verdicts = await asyncio.gather(*counts)
    assert sum(not verdict.exceeded for verdict in verdicts) == 60


async def test_a_busy_window_is_counted_in_blocks_and_never_late(settings: Settings) -> None:
    clock = Clock(3_500_000.0)
    async with limits_of(settings.valkey, clock) as one, limits_of(settings.valkey, clock) as other:
        assert one._counts is not None
        verdicts = [await limits.count("1000/minute", "key", "busy") for _ in range(600) for limits in (one, other)]
        asked = await one._counts.get(parse("1000/minute").key_for("key", "busy", str(3_500_000 // 60)))
        # Of which each process has at most a block in hand.
        assert 1200 <= asked <= 1200 + 2 * 20
        passed = sum(not verdict.exceeded for verdict in verdicts)
        assert passed == 1000
        remaining = [verdict.remaining for verdict in verdicts[::2]]
        assert remaining == sorted(remaining, reverse=True)
        clock.now += 60
        assert (await one.count("1000/minute", "key", "busy")).remaining == 999


async def test_requests_at_once_share_the_blocks_that_they_take(settings: Settings) -> None:
    async with limits_of(settings.valkey, Clock(3_600_000.0)) as limits:
        verdicts = await asyncio.gather(*(limits.count("500/minute", "key", "at once") for _ in range(400)))
    assert sorted(500 - verdict.remaining for verdict in verdicts) == list(range(1, 401))


async def test_a_dead_valkey_is_asked_once_a_second_and_found_again(own_valkey: Valkey) -> None:
    clock = Clock(4_000_000.0)
    async with limits_of(ValkeySettings(url=SecretStr(own_valkey.url), timeout_s=5.0), clock) as limits:
        assert (await limits.count("5/day", "key", "dead")).remaining == 4
        own_valkey.process.kill()
        with pytest.raises(Unavailable, match="does not answer"):
            await limits.count("5/day", "key", "dead")
        with pytest.raises(Unavailable, match="just now"):
            await limits.count("5/day", "key", "dead")
        start_again(own_valkey)
        with pytest.raises(Unavailable, match="just now"):
            await limits.count("5/day", "key", "dead")
        clock.now += 1
        assert (await limits.count("5/day", "key", "dead")).remaining == 4  # it keeps nothing


async def test_a_server_that_hangs_costs_no_more_than_the_time_limit() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        valkey = ValkeySettings(url=SecretStr(f"valkey://127.0.0.1:{port}"), timeout_s=0.2)
        async with limits_of(valkey, Clock(0.0)) as limits, asyncio.timeout(5):
            with pytest.raises(Unavailable, match="does not answer"):
                await limits.count("5/day", "key", "hangs")


async def test_without_valkey_nothing_is_counted() -> None:
    async with limits_of(ValkeySettings(), Clock(0.0)) as limits:
        with pytest.raises(Unavailable, match="METERSTREAM_VALKEY__URL"):
            await limits.count("5/day", "key", "nobody")
