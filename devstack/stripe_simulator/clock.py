"""The simulator's time: the wall clock, which the control API can put forward."""

from __future__ import annotations

import time
from collections.abc import Callable


class WorldClock:
    """Seconds since 1970: what `source` says, plus what was skipped."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self.skipped_s = 0

    def now(self) -> int:
        """Return the time of everything that hangs on no test clock."""
        return int(self._source()) + self.skipped_s

    def real_now(self) -> float:
        """Return the time that the outer world has: signatures and delivery are judged by it."""
        return self._source()
