"""The filter in front of the runs: says for most new keys that no run needs to be asked."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sinks.first_seen.entries import KEY_SPACE, U64, Mask

# A key sets 4 bits of one 64-bit word. New keys that pass, measured: 1.2 % in a new filter (12 bits a key), 3.3 % in a
# full one: a search of the runs costs a few µs, so that memory is worth more than fewer of them.
_BITS_WHEN_FULL = 8
_BITS_WHEN_NEW = _BITS_WHEN_FULL * 3 / 2
_SHIFTS = tuple(np.uint64(shift) for shift in (0, 6, 12, 18))
_SIX_BITS, _HALF, _ONE = np.uint64(63), np.uint64(32), np.uint64(1)
_FEWEST_KEYS = 100_000
# Up to this many keys the filter grows threefold instead of by half: what that saves is not worth the work.
_LARGE = 4_000_000


class Source(Protocol):
    """Something whose keys the filter must know."""

    def __len__(self) -> int: ...

    def hi_between(self, low: int, high: int) -> U64:
        """Return the upper halves in [low, high)."""
        ...


class BloomFilter:
    """A one-word blocked Bloom filter of fixed size. The word follows the order of the keys: see `drop_below`."""

    def __init__(self, keys: int) -> None:
        words = int(max(keys, _FEWEST_KEYS) * _BITS_WHEN_NEW / 64) + 1
        self.capacity = words * 64 // _BITS_WHEN_FULL
        # Our own mapping: pages cost memory once they are written, and can be handed back one by one.
        self._map = mmap.mmap(-1, words * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._words: U64 = np.frombuffer(self._map, np.uint64)

    def _word_and_bits(self, hi: U64) -> tuple[U64, U64]:
        word = ((hi >> _HALF) * np.uint64(len(self._words))) >> _HALF
        bits = np.zeros_like(hi)
        for shift in _SHIFTS:
            bits |= _ONE << ((hi >> shift) & _SIX_BITS)
        return word, bits

    def add(self, hi: U64) -> None:
        """Remember keys."""
        word, bits = self._word_and_bits(hi)
        np.bitwise_or.at(self._words, word, bits)

    def may_hold(self, hi: U64) -> Mask:
        """Return false where a key was certainly never added."""
        word, bits = self._word_and_bits(hi)
        held: Mask = self._words[word] & bits == bits
        return held

    def drop_below(self, hi: int) -> None:
        """Hand back the memory of all keys below `hi`, which nobody asks about here any more."""
        word = ((hi >> 32) * len(self._words)) >> 32
        whole_pages = word * 8 // mmap.PAGESIZE * mmap.PAGESIZE
        if whole_pages:
            self._map.madvise(mmap.MADV_DONTNEED, 0, whole_pages)


class GrowingFilter:
    """A Bloom filter that is rebuilt little by little, from what the index still holds, when it is full.

    Rebuilding goes up the key space: keys below the frontier are in the new filter, the others in the old one, whose
    memory is handed back on the way. So a rebuild never stops the caller for long, and never needs both in memory.
    """

    def __init__(self, keys: int) -> None:
        self._old = BloomFilter(keys)
        self._new: BloomFilter | None = None
        self._frontier = 0
        self._step = 0
        self._held = 0

    def add(self, hi: U64) -> None:
        """Remember keys."""
        self._held += len(hi)
        if self._new is None:
            self._old.add(hi)
            return
        below = hi < np.uint64(self._frontier)
        self._new.add(hi[below])
        self._old.add(hi[~below])

    def may_hold(self, hi: U64) -> Mask:
        """Return false where a key was certainly never added."""
        if self._new is None:
            return self._old.may_hold(hi)
        below = hi < np.uint64(self._frontier)
        held = np.empty(len(hi), np.bool_)
        held[below] = self._new.may_hold(hi[below])
        held[~below] = self._old.may_hold(hi[~below])
        return held

    def grow(self, sources: Sequence[Source], rows: int) -> None:
        """If the filter is full, move about `rows` keys on into a larger one. Called after every `add`."""
        if self._new is None:
            if self._held <= self._old.capacity:
                return
            self._held = sum(len(source) for source in sources)
            self._new = BloomFilter(self._held if self._held > _LARGE else self._held * 2)
            self._step = KEY_SPACE * rows // max(self._held, rows)
            self._frontier = 0
        reached = min(self._frontier + self._step, KEY_SPACE)
        for source in sources:
            self._new.add(source.hi_between(self._frontier, reached))
        self._frontier = reached
        if reached == KEY_SPACE:
            self._old, self._new = self._new, None
        else:
            self._old.drop_below(reached)
