"""How long events wait while Stripe does not answer: ever longer, but for one that finds out when it does again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_LONGEST_S: Final = 600.0
"""Every try is another record in Kafka: thousands that wait must not come every few seconds."""
_PROBE_S: Final = 30.0


class StripeOutage:
    """What one worker knows of it."""

    def __init__(self, *, first_pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first_pause_s = first_pause_s
        self._clock = clock
        self._next_probe_at = 0.0
        self.is_over = False
        """What waited is applied again, and the rest that waits may come."""

    def pause_s(self, outages: int) -> float:
        """Return how long an event waits that met the outage, after `outages` others in a row."""
        self.is_over = False
        pause_s = min(self._first_pause_s * float(2 ** min(outages, 20)), _LONGEST_S)
        if pause_s > _PROBE_S and self._clock() >= self._next_probe_at:
            self._next_probe_at = self._clock() + _PROBE_S
            return _PROBE_S
        return pause_s
