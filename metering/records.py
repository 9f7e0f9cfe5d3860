"""Records of one partition, in columns: what a block is made of. Filled by the transport, read by `decode`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ORGANIZATION_HEADER = "organization"
"""Names the organization's slug; direct producers may use the CloudEvents extension of that name instead."""

HOUR_MS = 3_600_000

FIRST_ARRIVAL_HEADER = "meterstream-first-arrival"
"""On a forwarded record: when it first arrived, in milliseconds since 1970, as ASCII digits."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, oldest first, all of one arrival hour once they are a block.

    `from_position` and `to_position` are the consumer's positions before and after: transactions leave holes, so
    `to_position - from_position` may exceed the number of records (and there may be none at all).
    `arrivals_ms` are the broker's timestamps (LogAppendTime). Header columns hold the last header of that name, or
    None; `keys` are needed only to forward a record unchanged.
    """

    topic: str
    partition: int
    from_position: int
    to_position: int
    offsets: NDArray[np.int64]
    arrivals_ms: NDArray[np.int64]
    keys: list[bytes | None]
    values: list[bytes | None]
    organizations: list[bytes | None]
    first_arrivals: list[bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def arrival_hour(self) -> int | None:
        """Return the hour, since 1970, in which a block's records arrived; None without records."""
        return int(self.arrivals_ms[0]) // HOUR_MS if len(self) else None

    def slice(self, from_position: int, to_position: int) -> RecordBatch:
        """Return the part within [from_position, to_position); itself where nothing is cut off."""
        start, end = max(from_position, self.from_position), min(to_position, self.to_position)
        if (start, end) == (self.from_position, self.to_position):
            return self
        low, high = np.searchsorted(self.offsets, [start, end])
        return RecordBatch(
            self.topic,
            self.partition,
            start,
            end,
            self.offsets[low:high],
            self.arrivals_ms[low:high],
            self.keys[low:high],
            self.values[low:high],
            self.organizations[low:high],
            self.first_arrivals[low:high],
        )

    @staticmethod
    def join(batches: Sequence[RecordBatch]) -> RecordBatch:
        """Return consecutive batches of one partition as one.

        Raises: ValueError where one does not begin at the end of the one before.
        """
        first, last = batches[0], batches[-1]
        if len(batches) == 1:
            return first
        if any(a.to_position != b.from_position for a, b in pairwise(batches)):
            raise ValueError("batches that do not follow each other cannot be joined")
        return RecordBatch(
            first.topic,
            first.partition,
            first.from_position,
            last.to_position,
            np.concatenate([batch.offsets for batch in batches]),
            np.concatenate([batch.arrivals_ms for batch in batches]),
            [key for batch in batches for key in batch.keys],
            [value for batch in batches for value in batch.values],
            [name for batch in batches for name in batch.organizations],
            [stamp for batch in batches for stamp in batch.first_arrivals],
        )
