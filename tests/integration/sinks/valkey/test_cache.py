"""Copies that are shared and forgotten, on the real Valkey."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from devstack.valkey import Valkey
from runtime.settings import Settings, ValkeySettings
from sinks.valkey.cache import SharedCache
from sinks.valkey.client import ValkeyClient
from tests.engines import start_again

pytestmark = pytest.mark.integration


@asynccontextmanager
async def cache_of(valkey: ValkeySettings, *, hears: bool = True) -> AsyncIterator[SharedCache]:
    client = ValkeyClient(valkey)
    cache = SharedCache(client)
    try:
        if not hears:
            yield cache
            return
        async with cache.listening():
            probe = f"probe-{uuid.uuid4().hex}"

            async def keeps() -> bool:
                _, place = await cache.look(probe, "")
                await cache.keep(place, b"")
                return cache.own(probe, "") is not None

            await until(keeps)
            yield cache
    finally:
        await client.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex}"


async def shared(cache: SharedCache, group: str, key: str = "key") -> bytes | None:
    copy, _ = await cache.look(group, key)
    return None if copy is None else copy.body


async def keep(cache: SharedCache, group: str, body: bytes) -> None:
    _, place = await cache.look(group, "key")
    await cache.keep(place, body)


async def test_what_one_keeps_the_other_finds_until_it_is_forgotten(settings: Settings, group: str) -> None:
    async with cache_of(settings.valkey) as one, cache_of(settings.valkey) as other:
        assert await shared(one, group) is None
        await keep(one, group, b"old")
        assert await shared(other, group) == b"old"
        own = other.own(group, "key")
        assert own is not None
        assert own == one.own(group, "key")
        await one.forget(group)
        assert one.own(group, "key") is None
        assert await shared(one, group) is None
        await until(lambda: other.own(group, "key") is None)
        assert await shared(other, group) is None


async def test_what_was_read_before_a_change_is_not_kept_after_it(settings: Settings, group: str) -> None:
    async with cache_of(settings.valkey) as one, cache_of(settings.valkey) as other:
        _, place = await one.look(group, "key")
        await other.forget(group)
        await one.keep(place, b"old")
        assert await shared(one, group) is None
        assert await shared(other, group) is None
        await until(lambda: one.own(group, "key") is None)


async def test_who_does_not_hear_keeps_nothing_of_its_own(settings: Settings, group: str) -> None:
    async with cache_of(settings.valkey, hears=False) as deaf, cache_of(settings.valkey) as other:
        await keep(deaf, group, b"body")
        assert deaf.own(group, "key") is None
        assert await shared(deaf, group) == b"body"
        await other.forget(group)
        assert await shared(deaf, group) is None


async def test_a_lost_valkey_takes_all_copies_along(own_valkey: Valkey, group: str) -> None:
    async with cache_of(ValkeySettings(url=SecretStr(own_valkey.url), timeout_s=5.0)) as cache:
        await keep(cache, group, b"old")
        assert cache.own(group, "key") is not None
        own_valkey.process.kill()
        await until(lambda: cache.own(group, "key") is None)
        assert await shared(cache, group) is None
        await keep(cache, group, b"old")
        assert cache.own(group, "key") is None

        start_again(own_valkey)

        async def hears_again() -> bool:
            await keep(cache, group, b"new")
            return cache.own(group, "key") is not None

        await until(hears_again)


async def test_what_could_not_be_told_is_told_as_soon_as_it_can_be(own_valkey: Valkey, group: str) -> None:
    """As when only the way from the one who changed to Valkey was cut: the others went on with the old copies."""
    valkey = ValkeySettings(url=SecretStr(own_valkey.url), timeout_s=5.0)
    async with cache_of(valkey) as cache:
        own_valkey.process.kill()
        await cache.forget(group)
        start_again(own_valkey)
        async with cache_of(valkey, hears=False) as other:
            await keep(other, group, b"old")
            assert await shared(cache, group) is None, "it knows better than Valkey"

            async def told() -> bool:
                return await shared(other, group) is None

            await until(told)


async def test_without_valkey_nothing_is_kept(group: str) -> None:
    async with cache_of(ValkeySettings(), hears=False) as cache, cache.listening():
        await keep(cache, group, b"body")
        assert await shared(cache, group) is None
        await cache.forget(group)
