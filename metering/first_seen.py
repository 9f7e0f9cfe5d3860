"""The duplicate rule: what a record is, given the last record of the same identity on its home partition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

DUPLICATE_WINDOW_MS: Final = 36 * 24 * 3_600_000
"""36 days: an event may be 35 days old on arrival, so its repeat is refused as too old before it is forgotten here."""


class Sighting(StrEnum):
    """What a record is to the ids seen before it."""

    NEW = "NEW"
    REPEAT = "REPEAT"
    CONFLICT = "CONFLICT"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a counted identity: where its body lies, and the latest arrival of it or of a repeat."""

    offset: int
    arrival_ms: int
    body_hash: int


def is_repeat(arrival_ms: int, seen_arrival_ms: int) -> bool:
    """Say whether an identity last seen at `seen_arrival_ms` is still taken at `arrival_ms`.

    Forwarded records keep their first arrival, so the difference may be negative: that is a repeat too.
    """
    return arrival_ms - seen_arrival_ms < DUPLICATE_WINDOW_MS


def judge(arrival_ms: int, seen: Seen | None, same_body: Callable[[Seen], bool]) -> Sighting:
    """Decide what a record is; `same_body` is asked only where an earlier body is within the window."""
    if seen is None or not is_repeat(arrival_ms, seen.arrival_ms):
        return Sighting.NEW
    return Sighting.REPEAT if same_body(seen) else Sighting.CONFLICT


def refresh(seen: Seen, arrival_ms: int) -> Seen:
    """Return what is remembered after a repeat: the later arrival, so that a chain of repeats stays a chain.

    A conflict refreshes nothing, and only counted events claim an id.
    """
    return replace(seen, arrival_ms=max(seen.arrival_ms, arrival_ms))
