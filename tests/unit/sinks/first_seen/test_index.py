from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import numpy as np
import pytest

from runtime.errors import Unavailable, UnexpectedError
from sinks.first_seen import FirstSeenIndex
from sinks.first_seen.index import _MOST_RUNS
from sinks.first_seen.merges import FAN_IN
from tests.unit.sinks.first_seen.blocks import add, crash_copy, hashed, pairs
from tests.unit.sinks.first_seen.conftest import Open


def run_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix in (".hi", ".rows", ".tmp"))


def test_an_empty_index_knows_nothing(open_index: Open):
    index = open_index()
    assert index.position == index.held_position == len(index) == 0
    assert not index.lookup(hashed(0, 100)).found.any()
    assert len(index.lookup(hashed(0, 0)).found) == 0


def test_lookup_returns_what_was_added_in_the_order_asked(open_index: Open):
    index = open_index()
    add(index, hashed(0, 1_000), offset=5_000, arrival_ms=77, position=6_000)
    seen = index.lookup(hashed(500, 1_500))
    assert seen.found.tolist() == [True] * 500 + [False] * 500
    assert seen.offsets[:500].tolist() == list(range(5_500, 6_000))
    assert set(seen.arrivals_ms[:500].tolist()) == {77}
    assert (seen.body_hashes[:500] == hashed(500, 1_000).lo).all()
    assert not seen.offsets[500:].any()


@pytest.mark.parametrize("flushed", [False, True])
def test_the_newest_entry_of_a_key_wins(open_index: Open, flushed: bool):
    index = open_index()
    for arrival in (10, 20, 30):
        add(index, hashed(0, 50), offset=arrival, arrival_ms=arrival, position=arrival)
        if flushed:
            index.flush()
    assert set(index.lookup(hashed(0, 50)).arrivals_ms.tolist()) == {30}


def test_the_position_moves_only_with_what_is_on_disk(open_index: Open, tmp_path: Path):
    index = open_index(flush_rows=1_000)
    add(index, hashed(0, 600), offset=0, arrival_ms=1, position=600)
    assert (index.position, index.held_position) == (0, 600)
    with open_index(crash_copy(tmp_path / "index", tmp_path / "before")) as crashed:
        assert crashed.position == 0
        assert not crashed.lookup(hashed(0, 600)).found.any()
    add(index, hashed(600, 1_200), offset=600, arrival_ms=1, position=1_250)
    assert index.position == 1_250
    with open_index(crash_copy(tmp_path / "index", tmp_path / "after")) as crashed:
        assert crashed.position == crashed.held_position == 1_250
        assert crashed.lookup(hashed(0, 1_200)).found.all()


def test_blocks_without_new_identities_move_the_position_too(open_index: Open):
    index = open_index()
    add(index, hashed(0, 0), offset=0, arrival_ms=1, position=900)
    assert (index.position, index.held_position) == (0, 900)
    index.close()
    index = open_index()
    assert index.position == 900
    add(index, hashed(0, 0), offset=0, arrival_ms=1, position=5_000_000)
    assert index.position == 5_000_000


def test_a_position_that_goes_back_is_a_bug(open_index: Open):
    index = open_index()
    add(index, hashed(0, 1), offset=0, arrival_ms=1, position=10)
    with pytest.raises(UnexpectedError, match="behind"):
        add(index, hashed(1, 2), offset=1, arrival_ms=1, position=9)


def test_repeating_an_add_changes_nothing(open_index: Open):
    index = open_index()
    for _ in range(2):
        add(index, hashed(0, 10), offset=0, arrival_ms=1, position=10)
        index.flush()
    assert index.lookup(hashed(0, 10)).offsets.tolist() == list(range(10))


def test_many_tiny_blocks_are_combined_in_memory(open_index: Open):
    index = open_index()
    for at in range(1_000):
        add(index, hashed(at, at + 1), offset=at, arrival_ms=at, position=at + 1)
    assert len(index._blocks) < 4 * FAN_IN
    assert index.lookup(hashed(0, 1_000)).offsets.tolist() == list(range(1_000))


@pytest.mark.parametrize("changed", ["rules_version", "cluster_id", "topic", "partition"])
def test_an_index_of_anything_else_is_begun_anew(open_index: Open, changed: str, caplog: Any):
    with open_index() as index:
        add(index, hashed(0, 10), offset=0, arrival_ms=1, position=10)
    other: dict[str, Any] = {changed: 9 if changed in ("rules_version", "partition") else "other"}
    with open_index(**other) as index:
        assert index.position == len(index) == 0
        assert not index.lookup(hashed(0, 10)).found.any()
        assert run_files(index._directory) == []
    with open_index(**other) as index:
        add(index, hashed(0, 10), offset=0, arrival_ms=1, position=20)
    assert open_index(**other).position == 20


@pytest.mark.parametrize("name", ["manifest", "0000000001.hi", "0000000001.rows"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove"])
def test_a_damaged_index_is_begun_anew(open_index: Open, tmp_path: Path, name: str, damage: str):
    with open_index() as index:
        add(index, hashed(0, 1_000), offset=0, arrival_ms=1, position=1_000)
    path = tmp_path / "index" / name
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"truncate": content[:middle], "flip": flipped, "empty": b"", "remove": b""}[damage])
    if damage == "remove":
        path.unlink()
    index = open_index()
    assert index.position == len(index) == 0
    assert run_files(tmp_path / "index") == []


def test_what_a_crash_left_behind_is_removed_and_strangers_files_stay(open_index: Open, tmp_path: Path):
    with open_index() as index:
        add(index, hashed(0, 10), offset=0, arrival_ms=1, position=10)
    for name in ("0000000009.hi", "0000000009.rows", "0000000010.hi.tmp", "manifest.tmp", "notes.txt"):
        (tmp_path / "index" / name).write_text("left behind")
    with open_index() as index:
        assert index.position == 10
    assert run_files(tmp_path / "index") == ["0000000001.hi", "0000000001.rows"]
    assert (tmp_path / "index" / "notes.txt").exists()


def test_clear_begins_anew_and_survives(open_index: Open, tmp_path: Path):
    with open_index(flush_rows=10) as index:
        for at in range(0, 1_000, 10):
            add(index, hashed(at, at + 10), offset=at, arrival_ms=1, position=at + 10)
        index.clear()
        assert index.position == index.held_position == len(index) == 0
        assert run_files(tmp_path / "index") == []
        assert not index.lookup(hashed(0, 1_000)).found.any()
        add(index, hashed(5, 6), offset=5, arrival_ms=1, position=6)
    index = open_index()
    assert index.position == 6
    assert index.lookup(hashed(5, 7)).found.tolist() == [True, False]


def test_a_second_owner_waits_and_is_then_refused(open_index: Open):
    index = open_index()
    started = time.monotonic()
    with pytest.raises(Unavailable, match="held by another worker"):
        open_index(lock_wait_s=0.3)
    assert 0.3 <= time.monotonic() - started < 5
    add(index, hashed(0, 10), offset=0, arrival_ms=1, position=10)
    closing = Thread(target=lambda: (time.sleep(0.2), index.close()))
    closing.start()
    assert open_index(lock_wait_s=10).position == 10
    closing.join()


def test_the_lock_dies_with_its_process(open_index: Open, tmp_path: Path):
    ready, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        open_index()
        os.write(held, b"x")
        time.sleep(60)
        os._exit(1)
    os.read(ready, 1)
    with pytest.raises(Unavailable):
        open_index()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(held)
    assert open_index().position == 0


def merge_all(index: FirstSeenIndex) -> None:
    """Let due merges end and put their runs in place."""
    index.flush()
    index._advance_merge()
    while index._merge is not None:
        index._advance_merge(wait=True)


def test_merged_runs_answer_as_before_and_survive(open_index: Open, tmp_path: Path):
    with open_index(flush_rows=100) as index:
        for at in range(0, 10_000, 100):
            add(index, hashed(at - at // 10, at - at // 10 + 100), offset=at, arrival_ms=at, position=at + 100)
        expected = index.lookup(hashed(0, 10_000))
        merge_all(index)
        assert len(index._runs) < 20
        assert len(run_files(tmp_path / "index")) == 2 * len(index._runs)
    with open_index() as reopened:
        for opened in (index, reopened):
            seen = opened.lookup(hashed(0, 10_000))
            assert np.array_equal(seen.found, expected.found)
            assert np.array_equal(seen.offsets, expected.offsets)
            assert np.array_equal(seen.arrivals_ms, expected.arrivals_ms)


def test_expiry_frees_the_disk_and_keeps_what_came_again(open_index: Open, tmp_path: Path):
    index = open_index(flush_rows=100)
    for at in range(0, 700, 100):
        add(index, hashed(at, at + 100), offset=at, arrival_ms=at, position=at + 100)
    add(index, hashed(50, 150), offset=700, arrival_ms=700, position=800)
    index.expire(600)
    merge_all(index)
    assert len(index) == 200
    seen = index.lookup(hashed(0, 700))
    assert np.flatnonzero(seen.found).tolist() == [*range(50, 150), *range(600, 700)]
    assert seen.arrivals_ms[50] == 700
    assert len(run_files(tmp_path / "index")) == 2 * len(index._runs)


def test_a_run_goes_only_when_its_last_entry_is_earlier(open_index: Open):
    index = open_index(flush_rows=100)
    for at in (0, 100):
        add(index, hashed(at, at + 100), offset=at, arrival_ms=at, position=at + 100)
    index.expire(100)
    assert np.flatnonzero(index.lookup(hashed(0, 200)).found).tolist() == list(range(100, 200))
    index.expire(101)
    assert not index.lookup(hashed(0, 200)).found.any()
    assert len(index) == 0


def test_a_mostly_expired_run_is_rewritten(open_index: Open):
    index = open_index(flush_rows=1_000)
    keys = hashed(0, 1_000)
    index.add(keys, np.arange(1_000), np.arange(1_000), keys.lo, position=1_000)
    index.expire(900)
    merge_all(index)
    assert len(index) == 100


def test_lookups_and_adds_go_on_during_a_merge(open_index: Open):
    begun, go_on = Event(), Event()
    merger = ThreadPoolExecutor(1)
    merger.submit(lambda: (begun.set(), go_on.wait(30)))
    begun.wait(30)
    index = open_index(flush_rows=1_000, merger=merger)
    for at in range(0, 20_000, 1_000):  # the merge is due, and waits for its thread
        add(index, hashed(at, at + 1_000), offset=at, arrival_ms=at, position=at + 1_000)
    assert len(index._runs) == 20
    go_on.set()
    at = 20_000
    while index._merge is not None or at < 25_000:  # now merges run beside
        add(index, hashed(at, at + 100), offset=at, arrival_ms=at, position=at + 100)
        at += 100
        seen = index.lookup(hashed(0, at + 100))
        assert seen.found.tolist() == [True] * at + [False] * 100
        assert (seen.offsets[:at] == np.arange(at)).all()
    assert len(index._runs) < 20
    index.close()
    merger.shutdown()
    assert open_index().lookup(hashed(0, at)).found.all()


def test_add_waits_for_merges_that_cannot_keep_up(open_index: Open):
    go_on = Event()
    with ThreadPoolExecutor(1) as merger:
        merger.submit(go_on.wait, 30)
        index = open_index(flush_rows=10, merger=merger)
        for at in range(0, 10 * _MOST_RUNS, 10):
            add(index, hashed(at, at + 10), offset=at, arrival_ms=at, position=at + 10)
        assert len(index._runs) == _MOST_RUNS
        Timer(0.2, go_on.set).start()
        add(index, hashed(at + 10, at + 20), offset=at + 10, arrival_ms=at, position=at + 20)
        assert go_on.is_set()
        assert len(index._runs) < _MOST_RUNS
        assert index.lookup(hashed(0, at + 20)).found.all()
        index.close()


def test_closing_stops_a_merge_and_loses_nothing(open_index: Open, tmp_path: Path):
    index = open_index(flush_rows=50_000)
    for at in range(0, 400_000, 50_000):
        add(index, hashed(at, at + 50_000), offset=at, arrival_ms=at, position=at + 50_000)
    assert index._merge is not None
    index.close()
    index.close()
    index = open_index()
    assert index.position == 400_000
    assert index.lookup(hashed(0, 400_000)).found.all()
    assert len(run_files(tmp_path / "index")) == 2 * len(index._runs)


def test_several_partitions_share_one_merger(open_index: Open, tmp_path: Path):
    with ThreadPoolExecutor(1) as merger:
        indexes = [open_index(tmp_path / str(n), partition=n, flush_rows=100, merger=merger) for n in range(3)]
        for at in range(0, 3_000, 100):
            for n, index in enumerate(indexes):
                keys = hashed(n * 10_000 + at, n * 10_000 + at + 100)
                add(index, keys, offset=at, arrival_ms=at, position=at + 100)
        for n, index in enumerate(indexes):
            assert np.flatnonzero(index.lookup(hashed(0, 30_000)).found).tolist() == list(
                range(n * 10_000, n * 10_000 + 3_000)
            )
            index.close()


def test_keys_at_the_ends_of_the_key_space(open_index: Open):
    top = 2**64 - 1
    extremes = [(0, 0), (0, top), (top, 0), (top, top), (1, 0), (2**63, 2**63)]
    with open_index() as index:
        add(index, pairs(*extremes), offset=0, arrival_ms=1, position=6)
    index = open_index()
    assert index.lookup(pairs(*extremes)).offsets.tolist() == list(range(6))
    assert not index.lookup(pairs((0, 1), (top, 1), (top - 1, top), (1, 1))).found.any()
