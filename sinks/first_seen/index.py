"""The first-seen index of one partition. Used by the thread that owns the partition; merges run behind its back."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

import numpy as np

from metering.identities import Keys
from runtime.errors import Unavailable, UnexpectedError
from runtime.logging import get_logger
from sinks.first_seen.entries import I64, KEY_SPACE, U64, Block, Seen, newest_of
from sinks.first_seen.filter import GrowingFilter
from sinks.first_seen.lock import DirectoryLock
from sinks.first_seen.manifest import Manifest, Owner, read_manifest, remove_unnamed, write_manifest
from sinks.first_seen.merges import MergeCancelled, choose_merge, choose_rewrite, in_slices, merge_runs
from sinks.first_seen.runs import Damaged, Run, delete_runs, write_run

_log = get_logger(__name__)

# 12 MB in memory. Also how far a crash throws the position back at most.
_FLUSH_ROWS = 300_000
# Blocks without new identities move the position too: then only the manifest is written.
_FLUSH_POSITIONS = 4 * _FLUSH_ROWS
# When merges can't keep up, `add` waits: each run makes lookups slower.
_MOST_RUNS = 64
# A touched page brings up to 15 neighbours into this process's memory (64 kB): 16 MB, then they are released.
_TOUCHES = 256
# A rebuild of the filter must have passed all keys before the old one is far too full: well over 2 keys an added key.
_REBUILD_PACE = 8
_REBUILD_LEAST = 50_000
_LOAD_SLICES = 64


class FirstSeenIndex:
    """128-bit identity → (offset of the event that holds the claim, latest arrival, 64-bit body hash).

    It is a cache of the log: `position` says from where its owner has to read the log again after a crash. The list of
    runs and the manifest are changed by the owner's thread only; a merge hands its run over and the next `add` puts it
    in place. (Two writers of that list would lose each other's runs.)
    """

    def __init__(self, directory: Path, owner: Owner, lock: DirectoryLock, *, flush_rows: int, merger: Executor | None):
        """Use `open`."""
        self._directory = directory
        self._owner = owner
        self._lock = lock
        self._flush_rows = flush_rows
        self._own_merger = ThreadPoolExecutor(1, thread_name_prefix="first-seen-merge") if merger is None else None
        self._merger: Executor = merger or self._own_merger  # type: ignore[assignment]
        self._merge: Future[Run | None] | None = None
        self._merging = slice(0)
        self._cancelled = Event()
        self._not_before_ms: int | None = None
        self._closed = False
        self._begin(Manifest(owner, 0, 0, ()), [])

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        rules_version: int,
        cluster_id: str,
        topic: str,
        partition: int,
        flush_rows: int = _FLUSH_ROWS,
        lock_wait_s: float = 10.0,
        merger: Executor | None = None,
    ) -> Self:
        """Open or begin the index of a partition; one that is damaged or of anything else is thrown away, not trusted.

        `merger` runs the merges: share one among the partitions of a process to bound their memory and load.

        Raises:
            Unavailable: another process of this host keeps the directory, or the disk refuses.
        """
        with _disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            lock = DirectoryLock(directory, wait_s=lock_wait_s)
            try:
                owner = Owner(rules_version, cluster_id, topic, partition)
                index = cls(directory, owner, lock, flush_rows=flush_rows, merger=merger)
                index._load()
            except BaseException:
                lock.release()
                raise
        return index

    def _begin(self, manifest: Manifest, runs: list[Run]) -> None:
        self._runs = runs  # from old to new, as are the blocks
        self._blocks: list[Block] = []
        self._position = self._held_position = manifest.position
        self._next_number = manifest.next_number
        self._filter = GrowingFilter(sum(len(run) for run in runs))
        self._touches = 0

    def _load(self) -> None:
        try:
            manifest = read_manifest(self._directory, self._owner)
            runs = [Run.open(self._directory, entry) for entry in manifest.runs] if manifest else []
        except Damaged as exc:
            _log.warning("first-seen index thrown away", directory=str(self._directory), reason=str(exc))
            manifest, runs = None, []
        remove_unnamed(self._directory, manifest)
        if manifest is None:
            return
        self._begin(manifest, runs)
        for part in range(_LOAD_SLICES):
            low, high = KEY_SPACE * part // _LOAD_SLICES, KEY_SPACE * (part + 1) // _LOAD_SLICES
            for run in runs:
                self._filter.add(run.hi_between(low, high))
        self._release()

    @property
    def position(self) -> int:
        """The log position up to which everything is on disk: where the log is read again after a crash."""
        return self._position

    @property
    def held_position(self) -> int:
        """The position of the last `add`: up to here lookups know everything."""
        return self._held_position

    def __len__(self) -> int:
        """Entries held; an identity that came again counts again until a merge."""
        return sum(map(len, self._blocks)) + sum(map(len, self._runs))

    def lookup(self, keys: Keys) -> Seen:
        """Return the newest entry of each key."""
        seen = Seen.nothing(len(keys))
        asked = np.flatnonzero(self._filter.may_hold(keys.hi))
        asked = asked.take(np.argsort(keys.hi[asked]))
        newest_first: list[Block | Run] = [*reversed(self._blocks), *reversed(self._runs)]
        for source in newest_first:
            if not asked.size:
                break
            at, rows = source.find(Keys(keys.hi[asked], keys.lo[asked]))
            seen.fill(asked[at], rows)
            if isinstance(source, Run):
                self._touch(len(asked))
            asked = np.delete(asked, at)
        return seen

    def _touch(self, count: int) -> None:
        self._touches += count
        if self._touches > _TOUCHES:
            self._release()

    def _release(self) -> None:
        for run in self._runs:
            run.release()
        self._touches = 0

    def add(self, keys: Keys, offsets: I64, arrivals_ms: I64, body_hashes: U64, *, position: int) -> None:
        """Hold a committed block, which ends at `position`. No key twice; one seen before replaces its entry.

        Of a key that comes again the arrival must not be earlier than before. Repeating a call is harmless.

        Raises:
            Unavailable: the disk refuses (full?); nothing is lost or damaged, the call can be repeated.
        """
        if position < self._held_position:
            raise UnexpectedError(f"position {position} is behind {self._held_position}, which the index holds")
        self._advance_merge(wait=len(self._runs) >= _MOST_RUNS)
        if self._is_full():  # an earlier flush failed: no further block until one succeeds, or memory would grow
            self.flush()
        if len(keys):
            block = Block.of(keys, offsets, arrivals_ms, body_hashes)
            self._blocks.append(block)
            while tier := choose_merge([len(held) for held in self._blocks], 1):  # many tiny blocks
                self._blocks[tier] = [newest_of(self._blocks[tier])]
            self._filter.add(block.hi)
            self._filter.grow([*self._blocks, *self._runs], max(_REBUILD_PACE * len(keys), _REBUILD_LEAST))
        self._held_position = position
        if self._is_full() or position - self._position >= _FLUSH_POSITIONS:
            self.flush()

    def _is_full(self) -> bool:
        return sum(map(len, self._blocks)) >= self._flush_rows

    def flush(self) -> None:
        """Put everything on disk and move `position` to the last block.

        Raises:
            Unavailable: the disk refuses; everything stays in memory, and on disk as it was.
        """
        if self._held_position == self._position and not self._blocks:
            return
        with _disk_errors(self._directory):
            # The steps' order: a crash before the manifest is swapped finds the old runs and position.
            run = write_run(self._directory, self._take_number(), in_slices(self._blocks)) if self._blocks else None
            self._publish([*self._runs, run] if run else self._runs, self._held_position)
            self._blocks = []
        self._advance_merge()

    def _take_number(self) -> int:
        self._next_number += 1
        return self._next_number

    def _publish(self, runs: list[Run], position: int) -> None:
        entries = tuple(run.entry for run in runs)
        write_manifest(self._directory, Manifest(self._owner, position, self._next_number, entries))
        self._runs, self._position = runs, position

    def expire(self, before_arrival_ms: int) -> None:
        """Let entries go whose latest arrival is earlier. Whole runs go now, single entries when they are merged."""
        self._not_before_ms = max(before_arrival_ms, self._not_before_ms or before_arrival_ms)
        self._advance_merge()

    def _advance_merge(self, *, wait: bool = False) -> None:
        """Put a finished merge in place and start the next one, if any is due."""
        if self._merge is not None:
            if not (self._merge.done() or wait):
                return
            self._finish_merge(self._merge)
        if self._not_before_ms is not None:
            live = [run for run in self._runs if run.entry.last_arrival_ms >= self._not_before_ms]
            self._replace(live, [run for run in self._runs if run not in live])
        self._start_merge()

    def _finish_merge(self, merge: Future[Run | None]) -> None:
        with _disk_errors(self._directory):
            if merge.exception() is not None:
                self._merge = None  # begun anew by the next call
            run = merge.result()
            # Since the merge began runs were only appended: its inputs are where they were.
            merged = [*self._runs]
            merged[self._merging] = [run] if run else []
            self._replace(merged, self._runs[self._merging])
            self._merge = None

    def _replace(self, runs: list[Run], replaced: list[Run]) -> None:
        if not replaced:
            return
        with _disk_errors(self._directory):
            self._publish(runs, self._position)
            delete_runs(replaced)
        # Dropping the last reference to a large run frees gigabytes, for up to a second: not on the owner's thread.
        gone = replaced.copy()
        replaced.clear()
        self._merger.submit(gone.clear)

    def _start_merge(self) -> None:
        due = choose_merge([len(run) for run in self._runs], self._flush_rows)
        if due is None and self._not_before_ms is not None:
            due = choose_rewrite(self._runs, self._not_before_ms)
        if due is None or self._closed:
            return
        self._merging = due
        self._merge = self._merger.submit(
            merge_runs,
            self._directory,
            self._take_number(),
            self._runs[due],
            not_before_ms=self._not_before_ms,
            cancelled=self._cancelled,
        )

    def _cancel_merge(self) -> None:
        if self._merge is None:
            return
        self._cancelled.set()
        if not self._merge.cancel():
            with contextlib.suppress(MergeCancelled, OSError):  # its inputs stay: nothing is lost with it
                self._merge.result()
        self._merge = None
        self._cancelled = Event()

    def clear(self) -> None:
        """Throw everything away and begin anew at position 0."""
        self._cancel_merge()
        with _disk_errors(self._directory):
            remove_unnamed(self._directory, None)
        self._begin(Manifest(self._owner, 0, 0, ()), [])

    def close(self) -> None:
        """Flush and let the next owner in. The lock is given up even if the flush fails."""
        if self._closed:
            return
        self._closed = True
        try:
            self._cancel_merge()
            self.flush()
        finally:
            self._cancel_merge()
            if self._own_merger is not None:
                self._own_merger.shutdown()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise Unavailable(
            f"first-seen index {directory}: {'the disk is full' if full else exc}",
            code="DISK_FULL" if full else None,
            directory=str(directory),
        ) from exc
