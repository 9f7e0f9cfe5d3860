from __future__ import annotations

from api.operations.stalls import StallWatch


def test_nothing_to_read_is_no_stall() -> None:
    watch = StallWatch(stalled_after_s=60)
    for now_s in range(0, 600, 5):
        assert watch.observe(now_s, positions={0: 10}, ends={0: 10}) == []


def test_standing_still_with_something_to_read_is_one_after_a_while() -> None:
    watch = StallWatch(stalled_after_s=60)
    assert watch.observe(0, positions={0: 10, 1: 5}, ends={0: 11, 1: 5}) == []
    assert watch.observe(59, positions={0: 10, 1: 5}, ends={0: 90, 1: 5}) == []
    assert watch.observe(60, positions={0: 10, 1: 5}, ends={0: 90, 1: 6}) == [0]
    assert watch.observe(61, positions={0: 11, 1: 5}, ends={0: 90, 1: 6}) == []
    assert watch.observe(120, positions={0: 11, 1: 5}, ends={0: 90, 1: 6}) == [1]


def test_slow_is_not_stalled() -> None:
    watch = StallWatch(stalled_after_s=60)
    for step in range(100):
        assert watch.observe(step * 30, positions={0: step}, ends={0: 1_000_000}) == []


def test_what_waits_after_idleness_is_counted_from_then() -> None:
    watch = StallWatch(stalled_after_s=60)
    watch.observe(0, positions={0: 5}, ends={0: 6})
    watch.observe(50, positions={0: 6}, ends={0: 6})
    assert watch.observe(1000, positions={0: 6}, ends={0: 7}) == []
    assert watch.observe(1060, positions={0: 6}, ends={0: 7}) == [0]


def test_a_partition_that_was_never_read_stands_at_zero() -> None:
    watch = StallWatch(stalled_after_s=1)
    assert watch.observe(0, positions={}, ends={0: 1}) == []
    assert watch.observe(1, positions={}, ends={0: 1}) == [0]
