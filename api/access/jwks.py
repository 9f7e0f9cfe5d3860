"""The public keys of whoever signs our users' tokens: fetched when needed, kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from runtime.errors import InvalidToken, Unavailable
from runtime.logging import get_logger

log = get_logger(__name__)

# A key that its issuer withdraws works on for this long at most.
_LIFETIME_S: Final = 600.0
# A token that names an unknown key makes us look again, but tokens of nonsense must not make us hammer the issuer.
_PAUSE_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
# Symmetric ones have no business in a public set.
_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


class KeySet:
    """Keys by their id. One fetch at a time; while the issuer does not answer, the keys we have go on working."""

    def __init__(
        self,
        url: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._transport = transport
        self._now = now
        self._keys: dict[str | None, PyJWK] = {}
        self._fresh_until = 0.0
        self._next_fetch_at = 0.0
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> PyJWK:
        """Return the key of this id; without one, the only key there is.

        Raises: InvalidToken for an unknown key, Unavailable when there are no keys because the issuer does not answer.
        """
        # Who has a key does not wait while somebody else asks for fresh ones.
        if self._pick(key_id) is None or (self._stale() and not self._fetching.locked()):
            async with self._fetching:
                if (self._stale() or self._pick(key_id) is None) and self._now() >= self._next_fetch_at:
                    await self._fetch()
        if not self._keys:
            raise Unavailable("The keys that check tokens cannot be fetched now.")
        key = self._pick(key_id)
        if key is None:
            raise InvalidToken("This token is signed with a key that its issuer does not publish.")
        return key

    def _stale(self) -> bool:
        return self._now() >= self._fresh_until

    def _pick(self, key_id: str | None) -> PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        self._next_fetch_at = self._now() + _PAUSE_S
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT_S) as client:
                answer = await client.get(self._url)
            self._keys = _read(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError) as exc:
            log.warning("Could not fetch the keys that check tokens", url=self._url, reason=repr(exc))
            return
        self._fresh_until = self._now() + _LIFETIME_S


def _read(document: object) -> dict[str | None, PyJWK]:
    """Return the usable keys. Raises: ValueError for what is no key set, or one without a usable key."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str | None, PyJWK] = {}
    for entry in listed if isinstance(listed, list) else ():
        try:
            key = PyJWK(entry)
        except (PyJWTError, AttributeError, TypeError):  # of a kind that we do not know: others may be usable
            continue
        usable = key.algorithm_name in _ALGORITHMS and key.public_key_use in (None, "sig")
        if usable and (key.key_id is None or isinstance(key.key_id, str)):
            keys[key.key_id] = key
    if not keys:
        raise ValueError("there is no key for signatures in it")
    return keys
