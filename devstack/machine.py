"""What every stack on this machine shares: a folder for downloads, and a lock for what is done once per machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """Return where downloads are kept, shared by every checkout on this machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meterstream"


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Wait until no other process of this machine does the same; who comes second looks again whether it is done."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
