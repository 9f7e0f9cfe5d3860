"""What a block of records comes to: the outcome of every record and the totals it adds. Pure; the agent calls it.

batch ──decode──► Decoded ──settle (first-seen answers)──► BlockResult
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

RULES_VERSION = 1
"""Raised when the same bytes could be decided differently; journaled with every block."""


class Outcome(IntEnum):
    """What became of a record; the four add up to the records of a block (G4)."""

    COUNTED = 0
    DUPLICATE = 1
    REJECTED = 2
    FORWARDED = 3


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record (or, with `meter_id`, one meter's reading of it) that could not be used."""

    row: int
    """Index into the batch."""
    code: str
    message: str
    organization_id: str | None
    event_id: str | None
    meter_id: str | None = None


@dataclass(frozen=True, slots=True)
class MeterDeltas:
    """What a block adds to one meter, one row per (subject, minute), in columns of equal length.

    `quantities` are canonical decimal texts: the sum (SUM, AVG), the smallest (MIN), the largest (MAX), the latest
    value (LATEST), or None for COUNT and UNIQUE_COUNT. `latest_*` are filled for LATEST only. `value_hashes` (16 bytes
    each, distinct within a row's minute) has its own rows, for UNIQUE_COUNT only.
    """

    meter_id: str
    organization_id: str
    aggregation: str
    subjects: list[str]
    minutes: NDArray[np.int64]
    """Minutes since 1970, UTC."""
    quantities: list[str] | None
    events: NDArray[np.int64]
    latest_times_us: NDArray[np.int64] | None = None
    latest_offsets: NDArray[np.int64] | None = None
    value_hashes: tuple[list[str], NDArray[np.int64], list[bytes]] | None = None
    """(subjects, minutes, hashes), one row a distinct value."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Everything that a block's transaction and the first-seen index need."""

    outcomes: NDArray[np.uint8]
    """`Outcome` of each record, in batch order."""
    dead_letters: list[DeadLetter]
    deltas: list[MeterDeltas] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Return how many records had that outcome."""
        return int(np.count_nonzero(self.outcomes == outcome))
