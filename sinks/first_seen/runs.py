"""Runs: immutable sorted entries on disk, in two files: the upper halves of the keys, and the rest of the rows."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from metering.identities import Keys
from sinks.first_seen.entries import I64, KEY_SPACE, ROW, U64, Block, Rows, match

# Every 64th key is held in memory (12.5 MB for 100 M): a lookup touches one page of the keys, mostly none of the rows.
_STRIDE = 64
_CHUNK_BYTES = 4 << 20
# Written files are handed to the disk at this pace, so that the last sync is short and other files' syncs don't wait.
_SYNC_BYTES = 16 << 20
_PADDING = np.uint64(KEY_SPACE - 1)


class Damaged(Exception):
    """What is on disk is not what was written; the index begins anew."""


class RunEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run as the manifest names it."""

    number: int
    rows: int
    first_arrival_ms: int
    last_arrival_ms: int
    hi_checksum: int
    rows_checksum: int

    @property
    def file_names(self) -> tuple[str, str]:
        """The upper halves' file and the rows' file."""
        return _file_names(self.number)


class Run:
    """An open run: maps its files to look keys up, and reads them plainly where it reads much (keeps memory low)."""

    def __init__(self, directory: Path, entry: RunEntry, fence: U64) -> None:
        self.entry = entry
        self._hi_path, self._rows_path = (directory / name for name in entry.file_names)
        self._fence = fence
        self._maps = tuple(_map(path) for path in (self._hi_path, self._rows_path))
        self._hi: U64 = np.frombuffer(self._maps[0], "<u8")
        self._strides: U64 = self._hi.reshape(-1, _STRIDE)
        self._rows: Rows = np.frombuffer(self._maps[1], ROW)

    @classmethod
    def open(cls, directory: Path, entry: RunEntry) -> Run:
        """Check both files against the manifest and open them.

        Raises:
            Damaged: a file is missing, or of another size or content.
        """
        hi_path, rows_path = (directory / name for name in entry.file_names)
        strides = -(-entry.rows // _STRIDE)
        fence = np.empty(strides, np.uint64)
        at = 0
        for chunk in _checked(hi_path, strides * _STRIDE * 8, entry.hi_checksum):
            keys = np.frombuffer(chunk, "<u8")[::_STRIDE]
            fence[at : at + len(keys)] = keys
            at += len(keys)
        for _ in _checked(rows_path, entry.rows * ROW.itemsize, entry.rows_checksum):
            pass
        return cls(directory, entry, fence)

    def __len__(self) -> int:
        return self.entry.rows

    def _lower_bounds(self, hi: U64) -> I64:
        stride = np.maximum(np.searchsorted(self._fence, hi) - 1, 0)
        smaller = (self._strides.take(stride, axis=0) < hi[:, np.newaxis]).sum(axis=1)
        bounds: I64 = np.minimum(stride * _STRIDE + smaller, len(self))
        return bounds

    def find(self, keys: Keys) -> tuple[I64, Rows]:
        """Return which of the keys are here, and their entries."""
        return match(self._hi[: len(self)], self._rows, self._lower_bounds(keys.hi), keys)

    def release(self) -> None:
        """Give the pages touched by lookups back to the page cache: mapped pages count as this process's memory."""
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def _range(self, low: int, high: int) -> tuple[int, int]:
        bounds = self._lower_bounds(np.array([low, min(high, KEY_SPACE - 1)], np.uint64))
        return int(bounds[0]), len(self) if high >= KEY_SPACE else int(bounds[1])

    def hi_between(self, low: int, high: int) -> U64:
        """Return the upper halves in [low, high)."""
        start, stop = self._range(low, high)
        return _read(self._hi_path, np.dtype("<u8"), start, stop)

    def between(self, low: int, high: int) -> Block:
        """Return the entries whose upper half is in [low, high)."""
        start, stop = self._range(low, high)
        return Block(
            hi=_read(self._hi_path, np.dtype("<u8"), start, stop),
            rows=_read(self._rows_path, ROW, start, stop),
        )

    def delete(self) -> None:
        """Remove the files' names; the disk is freed when this object goes."""
        for path in (self._hi_path, self._rows_path):
            path.unlink(missing_ok=True)


def delete_runs(runs: Sequence[Run]) -> None:
    """Delete runs, keeping no reference to any."""
    for run in runs:
        run.delete()


def write_run(directory: Path, number: int, blocks: Iterable[Block]) -> Run | None:
    """Write blocks, each above the one before, as a run that survives a crash; None if they hold nothing.

    Raises:
        OSError: the disk refused; what was written is removed.
    """
    hi_name, rows_name = _file_names(number)
    hi_file, rows_file = _Writer(directory / hi_name), _Writer(directory / rows_name)
    fences: list[U64] = []
    rows, first, last = 0, 2**63 - 1, -(2**63)
    try:
        for block in blocks:
            if not len(block):
                continue
            fences.append(block.hi[-rows % _STRIDE :: _STRIDE].copy())
            rows += len(block)
            first = min(first, int(block.rows["arrival_ms"].min()))
            last = max(last, int(block.rows["arrival_ms"].max()))
            hi_file.write(block.hi)
            rows_file.write(block.rows)
        if not rows:
            return None
        hi_file.write(np.full(-rows % _STRIDE, _PADDING, "<u8"))
        entry = RunEntry(number, rows, first, last, hi_file.finish(), rows_file.finish())
        sync_directory(directory)
        return Run(directory, entry, np.concatenate(fences))
    finally:
        for writer in (hi_file, rows_file):
            writer.clean_up()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content: after a crash it holds the old or the new one."""
    writer = _Writer(path)
    try:
        writer.write(np.frombuffer(content, np.uint8))
        writer.finish()
    finally:
        writer.clean_up()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory survive a crash."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Writer:
    """A file under a temporary name until it is complete and on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_suffix(path.suffix + ".tmp")
        self._file = self._temporary.open("wb")
        self._hash = xxhash.xxh3_64()
        self._unsynced = 0

    def write(self, column: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
        data = np.ascontiguousarray(column).view(np.uint8).data
        self._file.write(data)
        self._hash.update(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def finish(self) -> int:
        self._sync()
        self._file.close()
        self._temporary.replace(self._path)
        return int(self._hash.intdigest())

    def clean_up(self) -> None:
        # Closing flushes; on a full disk that fails again, and the first failure is the one to tell.
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _file_names(number: int) -> tuple[str, str]:
    return f"{number:010}.hi", f"{number:010}.rows"


def _read(path: Path, dtype: np.dtype[Any], start: int, stop: int) -> NDArray[Any]:
    entries = np.fromfile(path, dtype, stop - start, offset=start * dtype.itemsize)
    if len(entries) != stop - start:
        raise OSError(errno.EIO, "the file is shorter than it was", str(path))
    return entries


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _checked(path: Path, size: int, checksum: int) -> Iterator[bytes]:
    """Yield a file's content; raises Damaged at the end if it is not what was written."""
    digest = xxhash.xxh3_64()
    try:
        with path.open("rb") as file:
            if (actual := os.fstat(file.fileno()).st_size) != size:
                raise Damaged(f"{path.name} has {actual} bytes instead of {size}")
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
    except FileNotFoundError as exc:
        raise Damaged(f"{path.name} is missing") from exc
    if digest.intdigest() != checksum:
        raise Damaged(f"{path.name} has another checksum than when it was written")
