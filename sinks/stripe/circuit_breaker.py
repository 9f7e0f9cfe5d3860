"""Leaves a service alone that keeps failing, and lets one call at a time find out whether it is back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import StrEnum

from runtime.errors import Unavailable
from runtime.logging import get_logger

log = get_logger(__name__)


class State(StrEnum):
    """Closed: calls pass. Open: none does. Half-open: one is on its way to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Opens after `failures` failures of the service in a row, for `open_s`; then one probe decides."""

    def __init__(self, *, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._in_a_row = 0
        self._opened_at = 0.0
        self.state = State.CLOSED

    def admit(self) -> None:
        """Let a call pass, which must then end in `worked`, `failed` or `abandoned`. Raises: Unavailable."""
        if self.state is State.CLOSED:
            return
        wait_s = self._opened_at + self._open_s - self._clock()
        if self.state is State.HALF_OPEN or wait_s > 0:
            raise Unavailable(
                "Stripe keeps failing and is left alone for a moment.", retry_after_s=max(1, math.ceil(wait_s))
            )
        self.state = State.HALF_OPEN

    def worked(self) -> None:
        """Stripe answered; a refusal is an answer too."""
        if self.state is not State.CLOSED:
            log.info("Stripe answers again")
        self.state = State.CLOSED
        self._in_a_row = 0

    def failed(self) -> None:
        """Stripe did not answer, or could not."""
        self._in_a_row += 1
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._in_a_row >= self._limit):
            log.warning("Stripe is left alone for a while", failures=self._in_a_row, seconds=self._open_s)
            self.state = State.OPEN
            self._opened_at = self._clock()

    def abandoned(self) -> None:
        """The call ended without an answer for a reason of ours: the next one may probe at once."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
