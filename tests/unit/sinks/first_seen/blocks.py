"""Blocks of made-up entries, and what a crash leaves on disk."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np

from metering.identities import Keys
from sinks.first_seen import FirstSeenIndex
from sinks.first_seen.entries import U64


def hashed(start: int, stop: int) -> Keys:
    """The keys of ids start to stop, as uniform as a hash."""
    numbers = np.arange(start, stop, dtype=np.uint64)
    return Keys(hi=_mix(numbers, 1), lo=_mix(numbers, 2))


def _mix(numbers: U64, salt: int) -> U64:
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(31))


def pairs(*keys: tuple[int, int]) -> Keys:
    """Keys from their two halves."""
    return Keys(hi=np.array([hi for hi, _ in keys], np.uint64), lo=np.array([lo for _, lo in keys], np.uint64))


def add(index: FirstSeenIndex, keys: Keys, *, offset: int, arrival_ms: int, position: int) -> None:
    """Add keys at consecutive offsets; the body hash is the key's lower half."""
    count = len(keys)
    offsets = np.arange(offset, offset + count, dtype=np.int64)
    index.add(keys, offsets, np.full(count, arrival_ms, np.int64), keys.lo, position=position)


def crash_copy(directory: Path, target: Path) -> Path:
    """What another process would find if this one died now. Only a merge writes meanwhile: files that nobody names."""
    target.mkdir()
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(path, target / path.name)
    return target
