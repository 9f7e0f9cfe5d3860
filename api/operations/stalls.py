"""Tells a consumer that stands still from one that has nothing to do. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Mapping


class StallWatch:
    """Watches where a consumer stands in each partition; fed every few seconds."""

    def __init__(self, *, stalled_after_s: float) -> None:
        self._stalled_after_s = stalled_after_s
        # Partition → (position, since when it stands there with something to read).
        self._waiting: dict[int, tuple[int, float]] = {}

    def observe(self, now_s: float, *, positions: Mapping[int, int], ends: Mapping[int, int]) -> list[int]:
        """Return the partitions that have had something to read and have not moved for too long."""
        for partition, end in ends.items():
            position = positions.get(partition, 0)
            if position >= end:
                self._waiting.pop(partition, None)
                continue
            known = self._waiting.get(partition)
            if known is None or known[0] != position:
                self._waiting[partition] = (position, now_s)
        return sorted(
            partition for partition, (_, since_s) in self._waiting.items() if now_s - since_s >= self._stalled_after_s
        )
