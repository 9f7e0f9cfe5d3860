from __future__ import annotations

import pytest

from runtime.errors import Unavailable
from sinks.stripe.circuit_breaker import CircuitBreaker, State


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _opened(clock: _Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=3, open_s=10, clock=clock)
    for _ in range(3):
        breaker.admit()
        breaker.failed()
    return breaker


def _refused_for_s(breaker: CircuitBreaker) -> int:
    with pytest.raises(Unavailable) as refused:
        breaker.admit()
    return int(refused.value.details["retry_after_s"])


def test_only_failures_in_a_row_open_it() -> None:
    breaker = CircuitBreaker(failures=3, open_s=10, clock=_Clock())
    for outcome in (breaker.failed, breaker.failed, breaker.worked, breaker.failed, breaker.failed):
        breaker.admit()
        outcome()
    assert breaker.state is State.CLOSED
    breaker.failed()
    assert breaker.state is State.OPEN


def test_open_says_when_to_come_back() -> None:
    clock = _Clock()
    breaker = _opened(clock)
    assert _refused_for_s(breaker) == 10
    clock.now += 7.5
    assert _refused_for_s(breaker) == 3


def test_one_probe_decides() -> None:
    clock = _Clock()
    breaker = _opened(clock)
    clock.now += 10
    breaker.admit()
    assert breaker.state is State.HALF_OPEN
    assert _refused_for_s(breaker) == 1
    breaker.failed()
    assert breaker.state is State.OPEN
    assert _refused_for_s(breaker) == 10
    clock.now += 10
    breaker.admit()
    breaker.worked()
    assert breaker.state is State.CLOSED
    breaker.failed()
    breaker.admit()


def test_a_probe_that_was_given_up_leaves_the_next_one_to_try() -> None:
    clock = _Clock()
    breaker = _opened(clock)
    clock.now += 10
    breaker.admit()
    breaker.abandoned()
    breaker.admit()
    assert breaker.state is State.HALF_OPEN


def test_a_late_answer_closes_it() -> None:
    breaker = _opened(_Clock())
    breaker.worked()
    breaker.admit()
    assert breaker.state is State.CLOSED
