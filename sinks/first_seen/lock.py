"""One owner per directory: an exclusive lock that the kernel drops when the process dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from runtime.errors import Unavailable

_POLL_S = 0.05


class DirectoryLock:
    """An exclusive lock on a directory, held until `release`."""

    def __init__(self, directory: Path, *, wait_s: float) -> None:
        """Take the lock.

        Raises:
            Unavailable: another index kept it for `wait_s`.
        """
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(directory, time.monotonic() + wait_s)
        except BaseException:
            self.release()
            raise

    def _take(self, directory: Path, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"first-seen index {directory} is held by another worker of this host", directory=str(directory)
                    ) from exc
                time.sleep(_POLL_S)

    def release(self) -> None:
        """Let the next owner in; the file stays, or two owners could hold locks on different files."""
        os.close(self._descriptor)
