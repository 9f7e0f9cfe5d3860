"""All that the simulator knows: objects by kind and id, changed one call at a time, all of a call or nothing.

Objects are plain dicts exactly as Stripe sends them. What `get` and `find` return is the stored object itself: change
it by `update` only, and give `update` new lists and mappings instead of changing nested ones in place.
Keys that begin with "_" are never sent; kinds that begin with "_" are the simulator's own books.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.stripe_simulator.clock import WorldClock
from devstack.stripe_simulator.failures import Obj, StripeFailure, resource_missing
from devstack.stripe_simulator.storage import Storage

API_VERSION = "2026-10-28.endive"
_ALPHABET = string.ascii_letters + string.digits
# A deleted one of these still answers for itself where it is referred to.
_REMEMBERED = ("customer", "product", "coupon")
_SKIPPED = "_skipped"
_CLOCK = "test_helpers.test_clock"


@dataclass(frozen=True)
class Cause:
    """The call that events name as their reason; both None where time is the reason."""

    request_id: str | None = None
    idempotency_key: str | None = None


class World:
    """The objects, their time and their events. Not safe for threads: one call after the other."""

    def __init__(
        self, *, path: Path | None = None, clock: WorldClock | None = None, base_url: str = "http://127.0.0.1"
    ) -> None:
        self.clock = clock or WorldClock()
        self.base_url = base_url
        """Where people's browsers find our pages."""
        self._storage = Storage(path)
        self._kinds: dict[str, dict[str, Obj]] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._last_place = 0
        # What each object touched by the present call was before it; None where the call created it.
        self._before: dict[tuple[str, str], Obj | None] = {}
        self._cause = Cause()
        self._in_call = False
        for kind, place, obj in self._storage.load():
            self._put(kind, obj, place)
        if (skipped := self.known(_SKIPPED, _SKIPPED)) is not None:
            self.clock.skipped_s = skipped["skipped_s"]

    def now(self, obj: Obj | None = None) -> int:
        """Return unix seconds on the test clock of the object or its customer, else on the wall clock."""
        clock = self.clock_of(obj) if obj is not None else None
        if clock is None:
            return self.clock.now()
        return int(self.get(_CLOCK, clock)["frozen_time"])

    def clock_of(self, obj: Obj) -> str | None:
        """Return the id of the test clock that an object hangs on."""
        own: str | None = obj["id"] if obj.get("object") == _CLOCK else obj.get("test_clock")
        if own is None and isinstance(customer := obj.get("customer") or obj.get("_customer"), str):
            known = self._kinds.get("customer", {}).get(customer, {})
            own = known.get("test_clock")
        return own if own in self._kinds.get(_CLOCK, {}) else None

    def new_id(self, prefix: str, length: int = 24) -> str:
        """Return an id nobody can guess."""
        return f"{prefix}_1" + "".join(secrets.choice(_ALPHABET) for _ in range(length - 1))

    def insert(self, obj: Obj, event: str | None = None) -> Obj:
        """Keep a new object, and say so."""
        kind, identifier = obj["object"], obj["id"]
        assert identifier not in self._kinds.get(kind, {}), f"{identifier} exists"
        self._remember(kind, identifier)
        self._put(kind, obj, self._last_place + 1)
        if event is not None:
            self.emit(event, obj)
        return obj

    def get(self, kind: str, identifier: str, param: str = "id") -> Obj:
        """Return an object. Raises: StripeFailure resource_missing (404 for "id", which is in the path; else 400)."""
        try:
            return self._kinds[kind][identifier]
        except KeyError:
            raise resource_missing(kind, identifier, param) from None

    def known(self, kind: str, identifier: str | None) -> Obj | None:
        """Return an object, or None where there is none."""
        return self._kinds.get(kind, {}).get(identifier) if identifier is not None else None

    def find(self, kind: str, **equal: Any) -> list[Obj]:
        """Return the objects of a kind whose fields are as said, newest first."""
        objects = self._kinds.get(kind, {}).values()
        wanted = equal.items()
        found = [obj for obj in objects if all(obj.get(name) == value for name, value in wanted)]
        found.reverse()
        return found

    def update(self, obj: Obj, changes: Obj, event: str | None = None) -> Obj:
        """Set fields; where any of them changed, say what they were before."""
        before = {name: obj.get(name) for name, value in changes.items() if name not in obj or obj[name] != value}
        if not before:
            return obj
        self._remember(obj["object"], obj["id"])
        obj.update(changes)
        if event is not None:
            self.emit(event, obj, {name: _difference(old, obj[name]) for name, old in before.items()})
        return obj

    def delete(self, obj: Obj, event: str | None = None) -> None:
        """Forget an object; who asks for it gets resource_missing."""
        self._remember(obj["object"], obj["id"])
        del self._kinds[obj["object"]][obj["id"]]
        if obj["object"] in _REMEMBERED:
            self.insert({"id": obj["id"], "object": f"_deleted.{obj['object']}"})
        if event is not None:
            self.emit(event, obj)

    def is_deleted(self, kind: str, identifier: str) -> bool:
        """Say whether there was such an object: Stripe remembers it."""
        return identifier in self._kinds.get(f"_deleted.{kind}", {})

    def emit(self, event: str, obj: Obj, previous: Obj | None = None) -> None:
        """Write a snapshot event, of the time that the object has, and what must be delivered."""
        data: Obj = {"object": public(obj)}
        if previous := public(previous or {}):
            data["previous_attributes"] = previous
        record: Obj = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(obj),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self._cause.request_id, "idempotency_key": self._cause.idempotency_key},
            "type": event,
            "_written": self.clock.now(),
        }
        self.insert(record)
        self._queue(record, "snapshot")

    def emit_thin(self, event: str, related: Obj | None, data: Obj | None = None) -> None:
        """Write an event of the v2 form: it names the object, and its data is fetched."""
        record: Obj = {
            "id": self.new_id("evt_test"),
            "object": "v2.core.event",
            "created": iso_time(self.now(related)),
            "livemode": False,
            "type": event,
            "_written": self.clock.now(),
        }
        if data is not None:
            record["data"] = deepcopy(data)
        if related is not None:
            record["related_object"] = {"id": related["id"], "type": related["object"], "url": url_of(related)}
        if self._cause.request_id is not None:
            request = {"id": self._cause.request_id, "idempotency_key": self._cause.idempotency_key or ""}
            record["reason"] = {"type": "request", "request": request}
        self.insert(record)
        self._queue(record, "thin")

    @contextmanager
    def call(self, cause: Cause | None = None) -> Iterator[None]:
        """Do all of a call or nothing: keep and store the changes, or undo them when it fails."""
        assert not self._in_call, "calls do not nest"
        self._commit()  # what was done outside of calls
        self._in_call, self._cause = True, cause or Cause()
        try:
            yield
        except StripeFailure as failure:
            if failure.keeps_effects:
                self._commit()
            raise
        else:
            self._commit()
        finally:
            self._undo()
            self._in_call, self._cause = False, Cause()

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Undo at its end all that the block did: a preview is the real thing, taken back."""
        before, self._before = self._before, {}
        try:
            yield
        finally:
            self._undo()
            self._before = before

    def keep_clock(self) -> None:
        """Store how far the wall clock was put forward."""
        skipped = {"skipped_s": self.clock.skipped_s}
        kept = self.known(_SKIPPED, _SKIPPED)
        if kept is None:
            self.insert({"id": _SKIPPED, "object": _SKIPPED, **skipped})
        else:
            self.update(kept, skipped)

    def reset(self) -> None:
        """Forget everything, also how far the clock was put forward."""
        with self.call():
            for kind in list(self._kinds):
                for identifier in self._kinds[kind]:
                    self._remember(kind, identifier)
                self._kinds[kind].clear()
        self.clock.skipped_s = 0

    def kinds(self) -> list[str]:
        """Return the kinds of which objects exist."""
        return sorted(kind for kind, objects in self._kinds.items() if objects)

    def close(self) -> None:
        """Let go of the file."""
        self._storage.close()

    def _queue(self, event: Obj, payload: str) -> None:
        """Write one delivery for every endpoint that wants the event."""
        receivers = self.find("v2.core.event_destination", status="enabled", event_payload=payload)
        if payload == "snapshot":
            receivers += self.find("webhook_endpoint", status="enabled")
        for receiver in reversed(receivers):
            if not {"*", event["type"]} & set(receiver["enabled_events"]):
                continue
            self.insert(
                {
                    "id": self.new_id("del"),
                    "object": "_delivery",
                    "event": event["id"],
                    "event_kind": event["object"],
                    "receiver": receiver["id"],
                    "receiver_kind": receiver["object"],
                    "attempts": 0,
                    "due_at": self.clock.now(),
                }
            )
            if payload == "snapshot":
                self.update(event, {"pending_webhooks": event["pending_webhooks"] + 1})

    def _put(self, kind: str, obj: Obj, place: int) -> None:
        self._kinds.setdefault(kind, {})[obj["id"]] = obj
        self._places[kind, obj["id"]] = self._last_place = place

    def _remember(self, kind: str, identifier: str) -> None:
        if (kind, identifier) not in self._before:
            known = self._kinds.get(kind, {}).get(identifier)
            self._before[kind, identifier] = None if known is None else dict(known)

    def _commit(self) -> None:
        self._storage.write(
            (kind, identifier, self._places[kind, identifier], self._kinds[kind].get(identifier))
            for kind, identifier in self._before
        )
        self._before.clear()

    def _undo(self) -> None:
        for (kind, identifier), before in self._before.items():
            objects = self._kinds[kind]
            if before is None:
                objects.pop(identifier, None)
            elif identifier in objects:
                objects[identifier].clear()
                objects[identifier].update(before)
            else:
                self._put_back(kind, identifier, before)
        self._before.clear()

    def _put_back(self, kind: str, identifier: str, obj: Obj) -> None:
        """Undo a deletion, in the place that the object had."""
        objects = {**self._kinds[kind], identifier: obj}
        self._kinds[kind] = {key: objects[key] for key in sorted(objects, key=lambda key: self._places[kind, key])}


def public(value: Any) -> Any:
    """Return what may be sent: without the keys that begin with "_", on every level but in people's metadata."""
    if isinstance(value, dict):
        return {
            key: item if key == "metadata" else public(item) for key, item in value.items() if not key.startswith("_")
        }
    if isinstance(value, list):
        return [public(item) for item in value]
    return value


def iso_time(seconds: int) -> str:
    """Return a time as v2 objects have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def url_of(obj: Obj) -> str:
    """Return the path at which an object is fetched."""
    kind = obj["object"]
    folder, _, noun = kind.rpartition(".")
    return f"/v1/{folder}/{noun}s/{obj['id']}" if folder else f"/v1/{noun}s/{obj['id']}"


def _difference(old: Any, new: Any) -> Any:
    """Return of a mapping what it was where it changed, of anything else all that it was."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old
    return {
        key: _difference(old.get(key), new.get(key))
        for key in (*old, *(key for key in new if key not in old))
        if old.get(key) != new.get(key)
    }
