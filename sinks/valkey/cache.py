"""Answers that many ask for: shared in Valkey, with a copy in each process, gone at once when the truth changes.

A group (`plans`) has a version in Valkey under which its copies lie; `forget` gives it a new one and tells all
processes. Who reads takes the version before the truth is read: what was read before a change is kept under the
version before it, where nobody looks any more. A process trusts its own copies only while it hears what is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from valkey.asyncio import Valkey

from runtime.errors import Unavailable
from runtime.logging import get_logger
from runtime.tasks import end_tasks
from sinks.valkey.client import FAILURES, ValkeyClient

log = get_logger(__name__)

_PREFIX: Final = "meterstream:cache"
_CHANNEL: Final = f"{_PREFIX}:forgotten"
# Belts: a change that could not be told (its process died while Valkey was away) shows after so long.
_SHARED_S: Final = 60
_OWN_S: Final = 30.0
_OWN_COPIES: Final = 1_000
_MAX_BYTES: Final = 256_000
# A subscription is asked after so much silence, and given up after as much again.
_SILENCE_S: Final = 1.0
_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Copy:
    """A body, and the tag by which a client says that it has it."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy belongs that is read from the truth after this was given out."""

    group: str
    key: str
    version: str | None
    """In Valkey; None: it is away, nothing is kept."""
    generation: int | None
    """In this process; None: it does not hear what is forgotten."""


class SharedCache:
    """Copies of answers by group and key."""

    def __init__(self, client: ValkeyClient, *, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._hears = False
        # Raised by all that is forgotten: what was read before must not be kept afterwards.
        self._generation = 0
        self._own: dict[tuple[str, str], tuple[float, Copy]] = {}
        # Groups whose change Valkey could not be told.
        self._owed: set[str] = set()

    def own(self, group: str, key: str) -> Copy | None:
        """Return this process's copy, if it may be trusted."""
        if not self._hears:
            return None
        until, copy = self._own.get((group, key), (0.0, None))
        return copy if self._now() < until else None

    async def look(self, group: str, key: str) -> tuple[Copy | None, Place]:
        """Return the shared copy, and the place for the truth where there is none."""
        generation = self._generation if self._hears else None
        nowhere = Place(group, key, None, None)
        if group in self._owed:
            return None, nowhere
        try:
            version = await self._client.ask(lambda valkey: _version_of(valkey, group))
            body = await self._client.ask(lambda valkey: valkey.get(_shared_key(group, version, key)))
        except Unavailable:
            return None, nowhere
        place = Place(group, key, version, generation)
        return (None if body is None else self._keep_own(place, body)), place

    async def keep(self, place: Place, body: bytes) -> Copy:
        """Keep what was read from the truth after `look`, here and for others."""
        version = place.version
        if version is not None and len(body) <= _MAX_BYTES:
            shared_key = _shared_key(place.group, version, place.key)
            with suppress(Unavailable):  # the next one who asks reads the truth again
                await self._client.ask(lambda valkey: valkey.set(shared_key, body, ex=_SHARED_S))
        return self._keep_own(place, body)

    async def forget(self, group: str) -> None:
        """Let nobody see a copy from before now. Call it after the change has committed."""
        self._drop(group)
        try:
            await self._client.ask(lambda valkey: _forgotten(valkey, group))
        except Unavailable:
            if self._client.connection is not None:
                self._owed.add(group)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear what other processes forget."""
        if self._client.connection is None:
            yield
            return
        ear = asyncio.create_task(self._listen(self._client.connection), name="forgotten answers")
        try:
            yield
        finally:
            await end_tasks(ear)

    async def _listen(self, valkey: Valkey) -> None:
        while True:
            try:
                await self._hear(valkey)
            except FAILURES as exc:
                log.warning("deaf for what is forgotten elsewhere; own copies rest", reason=type(exc).__name__)
            finally:
                self._hears = False
                self._own.clear()
            await asyncio.sleep(_PAUSE_S)

    async def _hear(self, valkey: Valkey) -> None:
        async with valkey.pubsub() as subscription:
            await subscription.subscribe(_CHANNEL)
            asked = False
            while True:
                await self._tell_owed(valkey)
                message = await subscription.get_message(timeout=_SILENCE_S)
                if message is None:
                    if asked:
                        raise TimeoutError("no pong")
                    asked = True
                    await subscription.ping()
                    continue
                asked = False
                if message["type"] == "subscribe":
                    self._begin_to_hear()
                elif message["type"] == "message":
                    self._drop(message["data"].decode())

    def _begin_to_hear(self) -> None:
        # Also after the driver has connected again by itself: what was said meanwhile was not heard.
        self._own.clear()
        self._generation += 1
        self._hears = True

    async def _tell_owed(self, valkey: Valkey) -> None:
        for group in list(self._owed):
            await _forgotten(valkey, group)
            self._owed.discard(group)

    def _keep_own(self, place: Place, body: bytes) -> Copy:
        copy = Copy(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        # A change that was heard since the place was given out makes it too late.
        if self._hears and place.generation == self._generation and len(body) <= _MAX_BYTES:
            if len(self._own) >= _OWN_COPIES:
                self._own.clear()
            self._own[place.group, place.key] = (self._now() + _OWN_S, copy)
        return copy

    def _drop(self, group: str) -> None:
        self._generation += 1
        for kept in [kept for kept in self._own if kept[0] == group]:
            del self._own[kept]


def _version_key(group: str) -> str:
    return f"{_PREFIX}:{group}:version"


def _shared_key(group: str, version: str, key: str) -> str:
    return f"{_PREFIX}:{group}:{version}:{key}"


async def _version_of(valkey: Valkey, group: str) -> str:
    """Return the group's version. Random, so that one that was evicted never comes back with old copies under it."""
    found = await valkey.get(_version_key(group))
    if found is None:
        await valkey.set(_version_key(group), uuid.uuid4().hex, nx=True)
        found = await valkey.get(_version_key(group))
    return uuid.uuid4().hex if found is None else bytes(found).decode()


async def _forgotten(valkey: Valkey, group: str) -> None:
    async with valkey.pipeline(transaction=True) as both:
        both.set(_version_key(group), uuid.uuid4().hex)
        both.publish(_CHANNEL, group)
        await both.execute()
