from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.first_seen.entries import Block
from sinks.first_seen.merges import FAN_IN, MergeCancelled, choose_merge, choose_rewrite, merge_runs
from sinks.first_seen.runs import Run, write_run
from tests.unit.sinks.first_seen.blocks import hashed


def run_of(directory: Path, number: int, start: int, stop: int, arrivals_ms: list[int] | int = 0) -> Run:
    keys = hashed(start, stop)
    arrivals = np.broadcast_to(np.array(arrivals_ms, np.int64), len(keys))
    run = write_run(directory, number, [Block.of(keys, np.arange(start, stop), arrivals, keys.lo)])
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], None),
        ([100] * 7, None),
        ([100] * 8, slice(0, 8)),
        ([800] * 3 + [100] * 8, slice(3, 11)),
        ([760] * 7 + [100, 790], slice(0, 9)),
        ([6_400] + [1] * 8 + [6_400], slice(1, 9)),
        ([6_400, 100] * 7, None),
        ([6_400, 100] * 8, slice(0, 15)),
    ],
)
def test_eight_neighbours_of_a_tier_are_merged_with_the_smaller_ones_between(sizes: list[int], expected: slice | None):
    assert choose_merge(sizes, 100) == expected


@given(st.lists(st.integers(50, 150), max_size=400))
def test_entries_are_rewritten_seldom_and_runs_stay_few(flushes: list[int]):
    sizes, written = list[int](), 0
    for size in flushes:
        sizes.append(size)
        while due := choose_merge(sizes, 100):
            written += sum(sizes[due])
            sizes[due] = [sum(sizes[due])]
    assert len(sizes) <= 3 * FAN_IN
    assert written <= 4 * sum(flushes)


def test_a_merge_holds_the_newest_entry_of_every_key(tmp_path: Path):
    runs = [run_of(tmp_path, 1, 0, 300_000, 10), run_of(tmp_path, 2, 200_000, 450_000, 20)]
    merged = merge_runs(tmp_path, 3, runs, not_before_ms=None, cancelled=Event())
    assert merged is not None
    assert len(merged) == 450_000
    at, rows = merged.find(hashed(0, 500_000))
    assert sorted(at.tolist()) == list(range(450_000))
    assert (rows["arrival_ms"] == np.where(at < 200_000, 10, 20)).all()
    assert (rows["offset"] == at).all()


def test_a_merge_drops_the_expired(tmp_path: Path):
    runs = [run_of(tmp_path, 1, 0, 1_000, 10), run_of(tmp_path, 2, 500, 1_500, 20)]
    merged = merge_runs(tmp_path, 3, runs, not_before_ms=11, cancelled=Event())
    assert merged is not None
    assert len(merged) == 1_000
    assert merged.entry.first_arrival_ms == 20
    assert merge_runs(tmp_path, 4, runs, not_before_ms=21, cancelled=Event()) is None
    assert not list(tmp_path.glob("0000000004*"))


def test_a_cancelled_merge_leaves_nothing(tmp_path: Path):
    runs = [run_of(tmp_path, 1, 0, 100)]
    before = sorted(tmp_path.iterdir())
    cancelled = Event()
    cancelled.set()
    with pytest.raises(MergeCancelled):
        merge_runs(tmp_path, 2, runs, not_before_ms=None, cancelled=cancelled)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_is_rewritten_once_most_of_it_has_expired(tmp_path: Path):
    runs = [run_of(tmp_path, 1, 0, 101, list(range(101)))]
    assert choose_rewrite(runs, 50) is None
    assert choose_rewrite(runs, 51) == slice(0, 1)
