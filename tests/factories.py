"""Makes the things that tests are about, with sensible defaults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metering.records import RecordBatch

HOUR_MS = 3_600_000
NOON_MS = 1_780_000_000_000 // HOUR_MS * HOUR_MS


def make_batch(
    values: Sequence[bytes | None],
    *,
    from_position: int = 0,
    to_position: int | None = None,
    partition: int = 0,
    arrivals_ms: Sequence[int] | int = NOON_MS,
    topic: str = "usage.events.v1",
    organizations: Sequence[bytes | None] | None = None,
) -> RecordBatch:
    """Make a batch of consecutive records."""
    count = len(values)
    arrivals = [arrivals_ms] * count if isinstance(arrivals_ms, int) else list(arrivals_ms)
    return RecordBatch(
        topic=topic,
        partition=partition,
        from_position=from_position,
        to_position=from_position + count if to_position is None else to_position,
        offsets=np.arange(from_position, from_position + count, dtype=np.int64),
        arrivals_ms=np.array(arrivals, dtype=np.int64),
        keys=[None] * count,
        values=list(values),
        organizations=list(organizations) if organizations is not None else [None] * count,
        first_arrivals=[None] * count,
    )
