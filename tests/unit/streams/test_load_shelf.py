"""The shelf gives back exactly what was put on it, and never what it does not have."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from metering.records import RecordBatch
from streams.load_shelf import LoadShelf
from tests.factories import make_batch


def a_batch(start: int, count: int) -> RecordBatch:
    """Return records whose values are their positions."""
    return make_batch([b"%d" % position for position in range(start, start + count)], from_position=start)


def values(start: int, end: int) -> list[bytes]:
    """Return what they should be."""
    return [b"%d" % position for position in range(start, end)]


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 50), min_size=2, max_size=6),
)
def test_stretches_come_back_in_order_whatever_the_batches(counts: list[int], cuts: list[int]) -> None:
    shelf, end = LoadShelf(max_records=1_000), 0
    for count in counts:
        assert shelf.put(a_batch(end, count))
        end += count
    marks = sorted({min(cut, end) for cut in cuts})
    for start, stop in itertools.pairwise(marks):
        found = shelf.read(start, stop)
        assert found is not None
        assert found.values == values(start, stop)
        assert (found.from_position, found.to_position) == (start, stop)
        shelf.forget(stop)
        assert shelf.records == end - stop
        assert shelf.read(start, stop) is None


def test_a_full_shelf_lets_batches_go_until_it_is_empty() -> None:
    shelf = LoadShelf(max_records=10)
    assert shelf.put(a_batch(0, 6))
    assert shelf.put(a_batch(6, 6))
    assert shelf.is_full
    assert not shelf.put(a_batch(12, 6))
    shelf.forget(6)
    assert not shelf.is_full
    assert not shelf.put(a_batch(18, 6))  # 12 to 18 is missing between
    assert shelf.span == (6, 12)
    shelf.forget(12)
    assert shelf.put(a_batch(24, 6))
    assert shelf.span == (24, 30)
    assert shelf.read(12, 30) is None


def test_a_batch_that_goes_back_replaces_what_is_held() -> None:
    shelf = LoadShelf(max_records=10)
    shelf.put(a_batch(5, 5))
    assert shelf.put(a_batch(3, 4))
    assert shelf.span == (3, 7)
    assert shelf.records == 4


def test_an_empty_shelf_has_nothing() -> None:
    shelf = LoadShelf(max_records=10)
    assert shelf.span is None
    assert shelf.read(0, 1) is None
    shelf.forget(5)
    assert shelf.records == 0
