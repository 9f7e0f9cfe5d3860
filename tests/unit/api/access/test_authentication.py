from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from api.access import authentication
from api.access.authentication import KeyCache
from runtime.errors import InvalidToken
from sinks.postgres.api_keys import ApiKey

SECRET = "ms_" + "a" * 43


class MemoryKeys:
    """Stands for the table of keys and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.key: ApiKey | None = ApiKey("1", "o", "acme", "k", SECRET[:11], ["read"], datetime.now(UTC), None)

    @asynccontextmanager
    async def acting(self, _: object) -> Any:
        yield self

    async def find(self, _: object, __: bytes) -> ApiKey | None:
        self.asked += 1
        return self.key


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> MemoryKeys:
    memory = MemoryKeys()
    monkeypatch.setattr(authentication, "find_key", memory.find)
    return memory


async def test_a_key_is_looked_up_again_after_a_few_seconds(keys: MemoryKeys) -> None:
    now_s = 0.0
    cache = KeyCache(lifetime_s=3, now=lambda: now_s)
    stores: Any = SimpleNamespace(postgres=keys)
    for _ in range(5):
        assert (await cache.find(stores, SECRET)).organization == "acme"
    assert keys.asked == 1
    keys.key = None  # revoked
    now_s = 2.9
    await cache.find(stores, SECRET)
    now_s = 3.0
    with pytest.raises(InvalidToken):
        await cache.find(stores, SECRET)
    with pytest.raises(InvalidToken):
        await cache.find(stores, SECRET)
    assert keys.asked == 3


@pytest.mark.parametrize("secret", ["", "ms_", "ms_" + "a" * 42, "sk_" + "a" * 43, "ms_" + "é" * 43, SECRET + "\n"])
async def test_what_cannot_be_a_key_costs_no_query(keys: MemoryKeys, secret: str) -> None:
    with pytest.raises(InvalidToken):
        await KeyCache().find(SimpleNamespace(postgres=keys), secret)  # type: ignore[arg-type]
    assert keys.asked == 0
