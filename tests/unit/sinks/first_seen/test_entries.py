from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.identities import Keys
from sinks.first_seen.entries import KEY_SPACE, Block, newest_of
from tests.unit.sinks.first_seen.blocks import pairs

_half = st.sampled_from([0, 1, 2**63, KEY_SPACE - 1]) | st.integers(0, KEY_SPACE - 1)
# Keys that share halves, and keys that come again without any other sharing a half: these are sorted differently.
_key = st.tuples(_half, _half)
_plain_key = st.integers(0, 15).map(lambda number: (number << 59, number))
_arrival = st.integers(-(2**63), 2**63 - 1)
_block = st.lists(st.tuples(_key, _arrival), unique_by=lambda entry: entry[0])
_plain_block = st.lists(st.tuples(_plain_key, _arrival), unique_by=lambda entry: entry[0])


def block_of(entries: list[tuple[tuple[int, int], int]], offset: int = 0) -> Block:
    keys = pairs(*(key for key, _ in entries))
    arrivals = np.array([arrival for _, arrival in entries], np.int64)
    return Block.of(keys, np.arange(offset, offset + len(keys), dtype=np.int64), arrivals, keys.lo)


@given(_block, st.lists(st.tuples(_half, _half)))
def test_find_returns_exactly_the_keys_held(entries: list[tuple[tuple[int, int], int]], others: list[tuple[int, int]]):
    asked = [key for key, _ in entries] + others
    at, rows = block_of(entries).find(pairs(*asked))
    found = {asked[index]: int(row["arrival_ms"]) for index, row in zip(at, rows, strict=True)}
    assert found == dict(entries)
    assert sorted(at.tolist()) == [index for index, key in enumerate(asked) if key in dict(entries)]


@given(
    st.lists(_block | _plain_block, min_size=1, max_size=5) | st.lists(_plain_block, min_size=1, max_size=5),
    st.none() | _arrival,
)
def test_newest_of_keeps_the_last_entry_of_each_key_unless_expired(
    blocks: list[list[tuple[tuple[int, int], int]]], not_before_ms: int | None
):
    combined = newest_of([block_of(entries) for entries in blocks], not_before_ms=not_before_ms)
    newest = {key: arrival for entries in blocks for key, arrival in entries}
    expected = {key: at for key, at in newest.items() if not_before_ms is None or at >= not_before_ms}
    held = list(zip(combined.hi.tolist(), combined.rows["lo"].tolist(), strict=True))
    assert dict(zip(held, combined.rows["arrival_ms"].tolist(), strict=True)) == expected
    assert len(held) == len(expected)
    assert combined.hi.tolist() == sorted(combined.hi.tolist())


@given(_block, st.integers(1, 7))
def test_slices_of_the_key_space_add_up(entries: list[tuple[tuple[int, int], int]], parts: int):
    block = block_of(entries)
    bounds = [KEY_SPACE * part // parts for part in range(parts + 1)]
    slices = [block.between(low, high) for low, high in pairwise(bounds)]
    assert [hi for part in slices for hi in part.hi.tolist()] == block.hi.tolist()
    assert all(low <= hi < high for part, (low, high) in zip(slices, pairwise(bounds), strict=True) for hi in part.hi)


def test_columns_of_different_length_are_refused():
    keys = Keys(np.zeros(2, np.uint64), np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="length"):
        Block.of(keys, np.zeros(1, np.int64), np.zeros(2, np.int64), keys.lo)
