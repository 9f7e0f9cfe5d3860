"""Answers, and sorted blocks of entries: the vocabulary of the first-seen index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metering.identities import Keys

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[Any]

# 32 bytes: numpy's `take` has a fast path for that size, 25 times faster than indexing a structured array.
ROW = np.dtype([("lo", "<u8"), ("offset", "<i8"), ("arrival_ms", "<i8"), ("body_hash", "<u8")])
_BYTES = np.dtype(f"V{ROW.itemsize}")
KEY_SPACE = 2**64


@dataclass(frozen=True, slots=True)
class Seen:
    """What the index holds for each key asked about; zeros where `found` is false."""

    found: Mask
    offsets: I64
    arrivals_ms: I64
    body_hashes: U64

    @classmethod
    def nothing(cls, count: int) -> Seen:
        """Return the answer for `count` unknown keys."""
        return cls(
            found=np.zeros(count, np.bool_),
            offsets=np.zeros(count, np.int64),
            arrivals_ms=np.zeros(count, np.int64),
            body_hashes=np.zeros(count, np.uint64),
        )

    def fill(self, at: I64, rows: Rows) -> None:
        """Write the entries found for the keys at `at`."""
        self.found[at] = True
        self.offsets[at] = rows["offset"]
        self.arrivals_ms[at] = rows["arrival_ms"]
        self.body_hashes[at] = rows["body_hash"]


@dataclass(frozen=True, slots=True)
class Block:
    """Entries in memory, sorted by the upper half of their key."""

    hi: U64
    rows: Rows

    @classmethod
    def of(cls, keys: Keys, offsets: I64, arrivals_ms: I64, body_hashes: U64) -> Block:
        """Sort the entries of one `add`.

        Raises:
            ValueError: the columns differ in length.
        """
        if not len(keys.hi) == len(keys.lo) == len(offsets) == len(arrivals_ms) == len(body_hashes):
            raise ValueError("the columns of a block differ in length")
        rows = np.empty(len(keys), ROW)
        rows["lo"], rows["offset"], rows["arrival_ms"], rows["body_hash"] = keys.lo, offsets, arrivals_ms, body_hashes
        order = np.argsort(keys.hi)
        return cls(hi=keys.hi.take(order), rows=rows.take(order))

    def __len__(self) -> int:
        return len(self.hi)

    def find(self, keys: Keys) -> tuple[I64, Rows]:
        """Return which of the keys are here, and their entries."""
        return match(self.hi, self.rows, np.searchsorted(self.hi, keys.hi), keys)

    def between(self, low: int, high: int) -> Block:
        """Return the entries whose upper half is in [low, high)."""
        start, stop = (
            len(self.hi) if bound >= KEY_SPACE else int(np.searchsorted(self.hi, np.uint64(bound)))
            for bound in (low, high)
        )
        return Block(self.hi[start:stop], self.rows[start:stop])

    def hi_between(self, low: int, high: int) -> U64:
        """Return the upper halves in [low, high)."""
        return self.between(low, high).hi


def match(hi: U64, rows: Rows, first: I64, keys: Keys) -> tuple[I64, Rows]:
    """Compare each key with the entries from `first` on, its lower bound in `hi`, as long as the upper halves agree."""
    at = first.copy()
    asked = np.flatnonzero(at < len(hi))
    found_keys: list[I64] = []
    found_rows: list[Rows] = []
    while asked.size:  # one round, unless different keys share their upper half
        asked = asked[hi.take(at[asked]) == keys.hi[asked]]
        if not asked.size:
            break
        entries = rows.take(at[asked])
        equal = entries["lo"] == keys.lo[asked]
        found_keys.append(asked[equal])
        found_rows.append(entries[equal])
        asked = asked[~equal]
        at[asked] += 1
        asked = asked[at[asked] < len(hi)]
    if not found_keys:
        return np.empty(0, np.int64), np.empty(0, ROW)
    return np.concatenate(found_keys), np.concatenate(found_rows)


def newest_of(blocks: Sequence[Block], *, not_before_ms: int | None = None) -> Block:
    """Combine blocks given from old to new into one: a key's newest entry stays, unless it arrived too early."""
    hi = np.concatenate([block.hi for block in blocks])
    # As plain bytes: numpy concatenates structured arrays field by field, ten times slower.
    rows: Rows = np.concatenate([block.rows.view(_BYTES) for block in blocks]).view(ROW)
    # Stable: of equal keys the newest comes last. It also makes use of the order that the blocks already have.
    order = np.argsort(hi, kind="stable")
    sorted_hi = hi.take(order)
    same = sorted_hi[1:] == sorted_hi[:-1]
    if same.any():
        twins = np.flatnonzero(same)
        lo = rows["lo"]
        if (lo[order[twins]] != lo[order[twins + 1]]).any():  # different keys share their upper half
            order = np.lexsort((lo, hi))
            sorted_hi = hi.take(order)
            same = (sorted_hi[1:] == sorted_hi[:-1]) & (lo[order[1:]] == lo[order[:-1]])
        newest = np.append(~same, True)
        order, sorted_hi = order[newest], sorted_hi[newest]
    rows = rows.take(order)
    if not_before_ms is not None:
        live = rows["arrival_ms"] >= not_before_ms
        if not live.all():
            kept = np.flatnonzero(live)
            sorted_hi, rows = sorted_hi.take(kept), rows.take(kept)
    return Block(sorted_hi, rows)
