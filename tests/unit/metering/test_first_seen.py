"""Duplicates: 36 days to the millisecond, and chains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.first_seen import DUPLICATE_WINDOW_MS, Seen, Sighting, is_repeat, judge, refresh

DAY_MS = 86_400_000


def test_the_window_is_36_days_exactly() -> None:
    assert DUPLICATE_WINDOW_MS == 36 * DAY_MS
    assert is_repeat(36 * DAY_MS - 1, 0)
    assert not is_repeat(36 * DAY_MS, 0)
    assert is_repeat(0, DAY_MS)


@pytest.mark.parametrize(("same", "expected"), [(True, Sighting.REPEAT), (False, Sighting.CONFLICT)])
def test_an_earlier_body_decides_between_repeat_and_conflict(same: bool, expected: Sighting) -> None:
    seen = Seen(offset=7, arrival_ms=1000, body_hash=1)
    asked: list[Seen] = []

    def same_body(earlier: Seen) -> bool:
        asked.append(earlier)
        return same

    assert judge(2000, seen, same_body) is expected
    assert asked == [seen]
    assert judge(1000 + DUPLICATE_WINDOW_MS, seen, same_body) is Sighting.NEW
    assert judge(1000, None, same_body) is Sighting.NEW
    assert len(asked) == 1


@given(st.lists(st.integers(0, 200 * DAY_MS), min_size=1, max_size=30))
def test_a_chain_of_repeats_stays_a_chain(arrivals: list[int]) -> None:
    """Against the rule in DESIGN's words: any lower offset of the chain less than 36 days before."""
    seen: Seen | None = None
    chain: list[int] = []
    for offset, arrival_ms in enumerate(arrivals):
        sighting = judge(arrival_ms, seen, lambda _: True)
        expected = any(arrival_ms - earlier < 36 * DAY_MS for earlier in chain)
        assert (sighting is Sighting.REPEAT) is expected
        chain.append(arrival_ms)
        if sighting is Sighting.REPEAT:
            assert seen is not None
            seen = refresh(seen, arrival_ms)
        else:
            seen = Seen(offset, arrival_ms, 0)
