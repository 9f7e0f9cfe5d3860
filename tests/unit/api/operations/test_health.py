"""Readiness, which anybody may ask for as often as they like."""

from __future__ import annotations

import asyncio

import pytest

from api.operations.health import StoreProbes
from runtime.errors import Unavailable


async def test_stores_are_asked_once_a_second_and_their_words_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    asked, clock = [0], [100.0]

    async def fails() -> None:
        asked[0] += 1
        await asyncio.sleep(0)
        raise Unavailable('Postgres does not answer: connection to server at "10.0.0.7", port 5432 failed')

    async def works() -> str:
        return "17.2 on 10.0.0.8"

    probes = StoreProbes({"postgres": fails, "kafka": works}, now=lambda: clock[0])
    found = await asyncio.gather(*(probes.look() for _ in range(20)))
    assert asked == [1]
    assert found == [{"postgres": "does not answer; the log of the API says why", "kafka": None}] * 20
    assert "10.0.0.7" in capsys.readouterr().out
    clock[0] += 1.0
    assert await probes.look() == found[0]
    assert asked == [2]
    assert "10.0.0.7" not in capsys.readouterr().out  # said once
