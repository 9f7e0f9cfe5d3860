"""Every write, sync and rename fails in turn: the index says so, keeps its answers, and goes on when there is room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Unavailable
from sinks.first_seen import FirstSeenIndex
from tests.unit.sinks.first_seen.blocks import add, crash_copy, hashed
from tests.unit.sinks.first_seen.conftest import Open


class Disk:
    """Counts syncs and renames, and refuses those from `full_from` on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.full_from: int | None = None
        for owner, name in ((os, "fsync"), (Path, "replace")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.calls += 1
            if self.full_from is not None and self.calls >= self.full_from:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*arguments)

        return counted


def test_each_step_of_a_flush_may_fail(open_index: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    disk = Disk(monkeypatch)
    refused = list[str]()
    for step in range(1, 100):
        directory = tmp_path / f"index-{step}"
        index = open_index(directory)
        add(index, hashed(0, 100), offset=0, arrival_ms=1, position=100)
        index.flush()
        add(index, hashed(100, 200), offset=100, arrival_ms=1, position=200)
        disk.full_from = disk.calls + step
        try:
            index.flush()
        except Unavailable as error:
            refused.append(error.code)
        else:
            break
        assert index.position == 100
        assert index.lookup(hashed(0, 200)).found.all()
        disk.full_from = None
        with open_index(crash_copy(directory, tmp_path / f"crash-{step}")) as crashed:
            # Once the manifest is renamed the new state may be there, but never an old position with lost entries.
            assert crashed.position in (100, 200)
            assert crashed.lookup(hashed(0, crashed.position)).found.all()
        index.flush()
        assert index.position == 200
    assert set(refused) == {"DISK_FULL"}
    assert len(refused) >= 7  # two files and the manifest: a sync and a rename each, and the directory


def until_refused(index: FirstSeenIndex, at: int) -> int:
    """Add blocks of 100 until the disk refuses."""
    while True:
        try:
            add(index, hashed(at, at + 100), offset=at, arrival_ms=1, position=at + 100)
        except Unavailable:
            return at
        at += 100


def until_merged(index: FirstSeenIndex, at: int) -> int:
    """Add blocks of 100 until eight and more runs have become few; the refusal of a merge may still be told once."""
    refusals = 0
    while index._merge is not None or len(index._runs) >= 8:
        try:
            add(index, hashed(at, at + 100), offset=at, arrival_ms=1, position=at + 100)
        except Unavailable:
            refusals += 1
            assert refusals == 1
        else:
            at += 100
    return at


def test_a_failed_merge_keeps_its_inputs_and_is_repeated(
    open_index: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index = open_index(flush_rows=100)
    for at in range(0, 700, 100):
        add(index, hashed(at, at + 100), offset=at, arrival_ms=1, position=at + 100)
    index._flush_rows = 1_000_000
    add(index, hashed(700, 800), offset=700, arrival_ms=1, position=800)
    index._flush_rows = 100
    disk = Disk(monkeypatch)
    index.flush()  # begins the merge
    disk.full_from = disk.calls + 1
    at = until_refused(index, 800)
    assert index.lookup(hashed(0, at)).found.all()
    disk.full_from = None
    at = until_merged(index, at)
    assert index.lookup(hashed(0, at)).found.all()
    index.close()
    assert open_index().lookup(hashed(0, at)).found.all()


def test_memory_stays_bounded_while_the_disk_is_full(open_index: Open, monkeypatch: pytest.MonkeyPatch):
    index = open_index(flush_rows=500)
    disk = Disk(monkeypatch)
    disk.full_from = 1
    at = until_refused(index, 0)
    for _ in range(20):
        assert until_refused(index, at) == at
    assert len(index) <= 600
    disk.full_from = None
    add(index, hashed(at, at + 100), offset=at, arrival_ms=1, position=at + 100)
    assert index.lookup(hashed(0, at + 100)).found.all()


def test_closing_on_a_full_disk_gives_up_the_lock(open_index: Open, monkeypatch: pytest.MonkeyPatch):
    index = open_index()
    add(index, hashed(0, 100), offset=0, arrival_ms=1, position=100)
    disk = Disk(monkeypatch)
    disk.full_from = 1
    with pytest.raises(Unavailable, match="disk is full"):
        index.close()
    disk.full_from = None
    assert open_index().position == 0


def test_a_directory_that_cannot_be_made_is_unavailable(open_index: Open, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="first-seen index"):
        open_index(tmp_path / "file" / "index")
