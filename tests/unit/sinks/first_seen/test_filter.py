import numpy as np
import pytest

from sinks.first_seen.entries import KEY_SPACE, Block
from sinks.first_seen.filter import BloomFilter, GrowingFilter
from tests.unit.sinks.first_seen.blocks import hashed


def block(start: int, stop: int) -> Block:
    keys = hashed(start, stop)
    zeros = np.zeros(len(keys), np.int64)
    return Block.of(keys, zeros, zeros, keys.lo)


def test_a_full_filter_lets_few_new_keys_pass():
    bloom = BloomFilter(200_000)
    bloom.add(hashed(0, bloom.capacity).hi)
    assert bloom.may_hold(hashed(0, bloom.capacity).hi).all()
    assert bloom.may_hold(hashed(10**7, 10**7 + 100_000).hi).mean() < 0.04


def test_the_extremes_of_the_key_space_are_held():
    bloom = BloomFilter(1)
    extremes = np.array([0, 1, KEY_SPACE - 1], np.uint64)
    assert not bloom.may_hold(extremes).any()
    bloom.add(extremes)
    assert bloom.may_hold(extremes).all()


def test_dropping_the_lower_part_keeps_the_upper_part():
    bloom = BloomFilter(200_000)
    hi = hashed(0, 200_000).hi
    bloom.add(hi)
    bloom.drop_below(KEY_SPACE // 2)
    upper = hi >= np.uint64(KEY_SPACE // 2)
    assert bloom.may_hold(hi[upper]).all()
    assert bloom.may_hold(hi[~upper]).mean() < 0.1


@pytest.mark.parametrize("pace", [3_000, 60_000, 10_000_000])
def test_no_key_is_missed_at_any_moment_of_growth(pace: int):
    growing, blocks = GrowingFilter(0), list[Block]()
    for start in range(0, 800_000, 20_000):
        blocks.append(block(start, start + 20_000))
        growing.add(blocks[-1].hi)
        growing.grow(blocks, pace)
        assert all(growing.may_hold(held.hi).all() for held in blocks)


def test_growth_keeps_new_keys_out():
    growing, blocks = GrowingFilter(0), list[Block]()
    for start in range(0, 1_000_000, 20_000):
        blocks.append(block(start, start + 20_000))
        growing.add(blocks[-1].hi)
        growing.grow(blocks, 160_000)
    assert growing.may_hold(hashed(10**7, 10**7 + 100_000).hi).mean() < 0.04


def test_a_rebuild_forgets_what_the_sources_no_longer_hold():
    growing = GrowingFilter(0)
    gone, kept = hashed(0, 150_000).hi, block(200_000, 210_000)
    growing.add(gone)
    growing.add(kept.hi)
    growing.grow([kept], 10_000_000)
    assert growing.may_hold(kept.hi).all()
    assert growing.may_hold(gone).mean() < 0.04
