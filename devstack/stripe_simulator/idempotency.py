"""Idempotency keys: the first answer is kept for a day and given again to whoever repeats the call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World

_KIND = "_idempotency"
_KEPT_S = 86_400
_LONGEST = 255


@dataclass(frozen=True)
class KeyedCall:
    """A call that may be repeated, and by what a repeat is known."""

    key: str
    method: str
    path: str
    body: bytes
    request_id: str

    @property
    def fingerprint(self) -> str:
        """Return what differs when the parameters do."""
        return hashlib.sha256(self.body).hexdigest()


class Keys:
    """The keys in the world's books, and those of calls that are still going on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._in_use: set[str] = set()

    def take(self, call: KeyedCall) -> Obj | None:
        """Return the kept answer, or None and hold the key until `release`. Raises: StripeFailure.

        The kept answer has `status`, `body` and `request_id`.
        """
        key = call.key
        if len(key) > _LONGEST:
            raise StripeFailure(f"The idempotency key is longer than {_LONGEST} characters.", kind="idempotency_error")
        if key in self._in_use:
            raise StripeFailure(
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        kept = self._world.known(_KIND, key)
        if kept is None or kept["kept_until"] <= self._world.clock.now():
            self._in_use.add(key)
            return None
        if (kept["method"], kept["path"]) != (call.method, call.path):
            raise _reused(key, f"for the same endpoint they were first used for ('{call.path}' vs '{kept['path']}')")
        if kept["fingerprint"] != call.fingerprint:
            raise _reused(key, "with the same parameters they were first used with")
        return kept

    def keep(self, call: KeyedCall, status: int, answer: Obj) -> None:
        """Keep the answer of a call that took effect; part of that call, so that both are stored or none."""
        if (old := self._world.known(_KIND, call.key)) is not None:
            self._world.delete(old)
        kept: Obj = {
            "id": call.key,
            "object": _KIND,
            "method": call.method,
            "path": call.path,
            "fingerprint": call.fingerprint,
            "request_id": call.request_id,
            "status": status,
            "body": answer,
            "kept_until": self._world.clock.now() + _KEPT_S,
        }
        self._world.insert(kept)

    def release(self, key: str) -> None:
        """Let others use the key: the call has ended."""
        self._in_use.discard(key)

    def forget_old(self) -> None:
        """Drop the answers that nobody can ask for any more."""
        now = self._world.clock.now()
        for kept in self._world.find(_KIND):
            if kept["kept_until"] <= now:
                self._world.delete(kept)


def _reused(key: str, rule: str) -> StripeFailure:
    return StripeFailure(
        f"Keys for idempotent requests can only be used {rule}. Try using a key other than '{key}' if you meant to "
        "execute a different request.",
        kind="idempotency_error",
    )
