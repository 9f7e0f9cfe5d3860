from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.first_seen.entries import KEY_SPACE, Block
from sinks.first_seen.runs import Damaged, Run, write_atomically, write_run
from tests.unit.sinks.first_seen.blocks import hashed, pairs


def block(start: int, stop: int) -> Block:
    keys = hashed(start, stop)
    return Block.of(keys, np.arange(start, stop), np.arange(start, stop), keys.lo)


def sliced(whole: Block, parts: int) -> list[Block]:
    bounds = [KEY_SPACE * part // parts for part in range(parts + 1)]
    return [whole.between(low, high) for low, high in pairwise(bounds)]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 128, 5_000])
@pytest.mark.parametrize("parts", [1, 7])
def test_a_run_finds_what_was_written_before_and_after_reopening(tmp_path: Path, rows: int, parts: int):
    written = write_run(tmp_path, 1, sliced(block(0, rows), parts))
    assert written is not None
    for run in (written, Run.open(tmp_path, written.entry)):
        at, found = run.find(hashed(0, 2 * rows))
        assert sorted(at.tolist()) == list(range(rows))
        assert (found["offset"] == at).all()
        assert np.concatenate([part.hi for part in sliced_run(run, 5)]).tolist() == block(0, rows).hi.tolist()


def sliced_run(run: Run, parts: int) -> list[Block]:
    bounds = [KEY_SPACE * part // parts for part in range(parts + 1)]
    slices = [run.between(low, high) for low, high in pairwise(bounds)]
    for part, (low, high) in zip(slices, pairwise(bounds), strict=True):
        assert run.hi_between(low, high).tolist() == part.hi.tolist()
    return slices


@settings(deadline=None)  # each example waits for the disk
@given(st.data())
def test_keys_that_share_their_upper_half_are_told_apart(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    halves = st.sampled_from([0, 1, 2**63, KEY_SPACE - 2, KEY_SPACE - 1])
    lows = st.integers(0, 100) | st.integers(KEY_SPACE - 100, KEY_SPACE - 1)
    held = data.draw(st.lists(st.tuples(halves, lows), min_size=1, max_size=300, unique=True))
    others = data.draw(st.lists(st.tuples(halves, lows), max_size=30))
    keys, zeros = pairs(*held), np.zeros(len(held), np.int64)
    run = write_run(tmp_path_factory.mktemp("run"), 1, [Block.of(keys, zeros, zeros, keys.lo)])
    assert run is not None
    asked = held + others
    at, rows = run.find(pairs(*asked))
    assert sorted(at.tolist()) == [index for index, key in enumerate(asked) if key in set(held)]
    assert [asked[index][1] for index in at] == rows["body_hash"].tolist()


@pytest.mark.parametrize("hi", [0, 12_345, KEY_SPACE - 1])
def test_hundreds_of_keys_that_share_their_upper_half_are_all_found(tmp_path: Path, hi: int):
    keys, zeros = pairs((1, 1), *((hi, lo) for lo in range(500))), np.zeros(501, np.int64)
    run = write_run(tmp_path, 1, [Block.of(keys, zeros, zeros, keys.lo)])
    assert run is not None
    at, rows = run.find(keys)
    assert sorted(at.tolist()) == list(range(501))
    assert (rows["body_hash"] == keys.lo[at]).all()
    assert len(run.find(pairs((hi, 500), (hi, KEY_SPACE - 1)))[0]) == 0


def test_lookups_go_on_after_pages_were_released(tmp_path: Path):
    run = write_run(tmp_path, 1, [block(0, 10_000)])
    assert run is not None
    run.release()
    assert len(run.find(hashed(0, 10_000))[0]) == 10_000


@pytest.mark.parametrize("suffix", ["hi", "rows"])
@pytest.mark.parametrize("damage", ["truncate", "extend", "flip", "remove"])
def test_damage_is_found(tmp_path: Path, suffix: str, damage: str):
    run = write_run(tmp_path, 1, [block(0, 1_000)])
    assert run is not None
    path = tmp_path / f"0000000001.{suffix}"
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncate": content[:-1],
            "extend": content + b"\0",
            "flip": content[:500] + bytes([content[500] ^ 1]) + content[501:],
            "remove": b"",
        }[damage]
    )
    if damage == "remove":
        path.unlink()
    with pytest.raises(Damaged, match=path.name):
        Run.open(tmp_path, run.entry)


def test_reading_a_file_that_shrank_while_open_is_an_error(tmp_path: Path):
    run = write_run(tmp_path, 1, [block(0, 1_000)])
    assert run is not None
    with (tmp_path / "0000000001.rows").open("r+b") as file:
        file.truncate(4_096)
    with pytest.raises(OSError, match="shorter"):
        run.between(0, KEY_SPACE)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "manifest"
    write_atomically(path, b"old")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest"]
