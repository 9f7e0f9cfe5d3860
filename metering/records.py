"""Records of one partition, in columns: what a block is made of. Filled by the transport, read by `blocks`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORGANIZATION_HEADER = "organization"
"""Names the organization's slug; direct producers may use the CloudEvents extension of that name instead."""

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
