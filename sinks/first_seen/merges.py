"""Which runs are merged, and how: size-tiered, neighbours in age only, a slice of the key space at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from sinks.first_seen.entries import KEY_SPACE, Block, newest_of
from sinks.first_seen.runs import Run, write_run

# Eight of a size become one: at 100 M ids an entry is rewritten about three times, and at most 7 runs a tier are asked.
FAN_IN = 8
# 2.6 MB of entries at a time: they stay in the processor's cache, and the allocator keeps little of it for itself.
_SLICE_ROWS = 65_536


def choose_merge(sizes: Sequence[int], unit: int) -> slice | None:
    """Return which neighbours, given from old to new, to merge; `unit` is the size of the lowest tier.

    Only neighbours are merged, so that of two entries of a key the newer one is always in the newer run.
    """
    tiers = [max(0, round(math.log(max(size, 1) / unit, FAN_IN))) for size in sizes]
    for tier in sorted(set(tiers)):
        members: list[int] = []
        for at, other in enumerate([*tiers, tier + 1]):
            if other > tier:
                if len(members) >= FAN_IN:
                    return slice(members[0], members[-1] + 1)
                members = []
            elif other == tier:
                members.append(at)
    return None


def choose_rewrite(runs: Sequence[Run], not_before_ms: int) -> slice | None:
    """Return a run most of whose entries have expired: large runs seldom meet enough others of their size."""
    for at, run in enumerate(runs):
        first, last = run.entry.first_arrival_ms, run.entry.last_arrival_ms
        if not_before_ms - first > (last - first) / 2:
            return slice(at, at + 1)
    return None


def merge_runs(
    directory: Path, number: int, runs: Sequence[Run], *, not_before_ms: int | None, cancelled: Event
) -> Run | None:
    """Write one run that holds the newest entries of several, without the expired; None if none is left.

    Runs on a background thread: it only reads immutable files and writes new ones.

    Raises:
        MergeCancelled: the index is being closed.
        OSError: the disk refused; nothing is left behind.
    """

    def merged() -> Iterator[Block]:
        for block in in_slices(runs, not_before_ms=not_before_ms):
            if cancelled.is_set():
                raise MergeCancelled
            yield block

    return write_run(directory, number, merged())


def in_slices(sources: Sequence[Run | Block], *, not_before_ms: int | None = None) -> Iterator[Block]:
    """Combine sources, given from old to new, a slice of the key space at a time, upwards."""
    slices = max(1, sum(map(len, sources)) // _SLICE_ROWS)
    for part in range(slices):
        low, high = KEY_SPACE * part // slices, KEY_SPACE * (part + 1) // slices
        yield newest_of([source.between(low, high) for source in sources], not_before_ms=not_before_ms)


class MergeCancelled(Exception):
    """The merge was stopped; its inputs stay."""
