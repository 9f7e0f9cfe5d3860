"""A block's repeats told from its new events, and what the block then comes to. The second half of a block's way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metering.blocks import BlockResult, DeadLetter, Outcome
from metering.decode import DecodedBlock
from metering.first_seen import Seen, Sighting, judge, refresh
from metering.identities import Keys
from metering.identity import same_body
from metering.meter_columns import read_meters
from metering.meter_deltas import Adder
from metering.rejections import Code

_CONFLICT = "this id was counted within 36 days with another body"


class SeenBefore(Protocol):
    """What the first-seen index answers, an entry for each key; only found ones mean anything."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether the key is known."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the counted body lies."""

    @property
    def arrivals_ms(self) -> NDArray[np.int64]:
        """When it, or a repeat of it, arrived last."""

    @property
    def body_hashes(self) -> NDArray[np.uint64]:
        """The hash of the counted body."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A decided block, and what the first-seen index has to remember of it: each key once, as it stands at the end."""

    result: BlockResult
    keys: Keys
    offsets: NDArray[np.int64]
    arrivals_ms: NDArray[np.int64]
    body_hashes: NDArray[np.uint64]


def suspects(decoded: DecodedBlock, seen: SeenBefore) -> NDArray[np.int64]:
    """Return the offsets of the bodies, outside the block, that `settle` may have to compare with."""
    differs = seen.found & (seen.body_hashes != decoded.events.body_hashes)
    return np.unique(seen.offsets[differs])


def settle(decoded: DecodedBlock, seen: SeenBefore, bodies: Mapping[int, bytes]) -> Settled:
    """Decide every record of a block and add up what it counts.

    `seen`: what was known of `decoded.keys` before this block. `bodies`: by offset, what `suspects` asked for.
    """
    repeats = _Repeats(decoded, seen, bodies)
    events = decoded.events
    outcomes = np.full(len(decoded.batch), Outcome.REJECTED, np.uint8)
    outcomes[[row for row, _ in decoded.forwards]] = Outcome.FORWARDED
    outcomes[events.rows[repeats.counted]] = Outcome.COUNTED
    outcomes[events.rows[repeats.duplicate]] = Outcome.DUPLICATE
    readings, skips = read_meters(decoded, repeats.counted)
    dead_letters = [*decoded.rejected, *repeats.conflicts, *skips]
    dead_letters.sort(key=lambda letter: (letter.row, letter.meter_id or ""))
    adder = Adder(decoded)
    return repeats.settled(BlockResult(outcomes, dead_letters, [adder.add_up(read) for read in readings]))


class _Repeats:
    """Which events of a block are new, repeats or conflicts, exactly as if they had come one by one."""

    def __init__(self, decoded: DecodedBlock, seen: SeenBefore, bodies: Mapping[int, bytes]) -> None:
        self._decoded = decoded
        self._bodies = bodies
        self._known: dict[tuple[int, int], Seen] = {}
        self._changed: set[tuple[int, int]] = set()
        events = decoded.events
        self.counted = np.ones(len(events), np.bool_)
        self.duplicate = np.zeros(len(events), np.bool_)
        self.conflicts: list[DeadLetter] = []
        # Most identities are neither known nor said again in the block: those are new, and need no look.
        self._looked_at = seen.found | _said_again(events.keys.lo)
        at = np.flatnonzero(self._looked_at)
        self._remember(at, seen)
        self._judge(at)

    def settled(self, result: BlockResult) -> Settled:
        """Return the block with what is to be remembered of it."""
        events, plain = self._decoded.events, ~self._looked_at
        keys = sorted(self._changed)
        states = [self._known[key] for key in keys]
        hi, lo = (np.array([key[half] for key in keys], np.uint64) for half in (0, 1))
        return Settled(
            result,
            Keys(np.append(events.keys.hi[plain], hi), np.append(events.keys.lo[plain], lo)),
            np.append(self._decoded.batch.offsets[events.rows[plain]], _integers(state.offset for state in states)),
            np.append(events.arrivals_ms[plain], _integers(state.arrival_ms for state in states)),
            np.append(events.body_hashes[plain], np.array([state.body_hash for state in states], np.uint64)),
        )

    def _remember(self, at: NDArray[np.int64], seen: SeenBefore) -> None:
        at = at[seen.found[at]]
        keys = self._decoded.events.keys
        columns = (keys.hi, keys.lo, seen.offsets, seen.arrivals_ms, seen.body_hashes)
        for hi, lo, offset, arrival_ms, body_hash in zip(*(column[at].tolist() for column in columns), strict=True):
            self._known[hi, lo] = Seen(offset, arrival_ms, body_hash)

    def _judge(self, at: NDArray[np.int64]) -> None:
        events = self._decoded.events
        columns = (at, events.keys.hi[at], events.keys.lo[at], events.arrivals_ms[at], events.body_hashes[at])
        for event, hi, lo, arrival_ms, body_hash in zip(*(column.tolist() for column in columns), strict=True):
            key = (hi, lo)
            known = self._known.get(key)
            sighting = judge(arrival_ms, known, partial(self._is_same, event, body_hash))
            if sighting is Sighting.CONFLICT:
                self.counted[event] = False
                self.conflicts.append(self._conflict(event))
            elif known is not None and sighting is Sighting.REPEAT:
                self.counted[event], self.duplicate[event] = False, True
                refreshed = refresh(known, arrival_ms)
                if refreshed != known:
                    self._known[key] = refreshed
                    self._changed.add(key)
            else:
                offset = int(self._decoded.batch.offsets[events.rows[event]])
                self._known[key] = Seen(offset, arrival_ms, body_hash)
                self._changed.add(key)

    def _is_same(self, event: int, body_hash: int, earlier: Seen) -> bool:
        if earlier.body_hash == body_hash:
            return True
        batch = self._decoded.batch
        raw = batch.values[self._decoded.events.rows[event]]
        if earlier.offset >= batch.from_position:
            before = batch.values[int(np.searchsorted(batch.offsets, earlier.offset))]
        else:
            before = self._bodies[earlier.offset]
        assert raw is not None
        assert before is not None  # it was counted
        return same_body(before, raw)

    def _conflict(self, event: int) -> DeadLetter:
        events = self._decoded.events
        event_id = events.table["id"][event].as_py()
        organization_id = events.organization_of(event).id
        return DeadLetter(int(events.rows[event]), Code.CONFLICT, _CONFLICT, organization_id, event_id)


def _said_again(lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mark keys that occur more than once. Half a key will do: a false mark costs only a look."""
    order = np.argsort(lo)
    ordered = lo[order]
    same = ordered[1:] == ordered[:-1]
    again = np.zeros(len(lo), np.bool_)
    again[order[1:][same]] = True
    again[order[:-1][same]] = True
    return again


def _integers(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64)
