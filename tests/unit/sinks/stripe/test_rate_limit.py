from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import RateLimited
from sinks.stripe.rate_limit import RateLimit
from tests.unit.sinks.stripe.virtual_time import run

# When a request is wanted, and how long it travels there and back: hundredths of a second, so that bounds are met too.
_hundredths = st.integers(0, 300).map(lambda n: n / 100)
_requests = st.lists(st.tuples(_hundredths, _hundredths, _hundredths), min_size=1, max_size=40)


def _limit(per_s: int) -> RateLimit:
    return RateLimit(per_s, clock=asyncio.get_running_loop().time, sleep=asyncio.sleep)


@given(per_s=st.integers(1, 5), requests=_requests)
def test_no_second_sees_more_arrivals_than_allowed(per_s: int, requests: list[tuple[float, float, float]]) -> None:
    arrivals: list[float] = []

    async def send(limit: RateLimit, wanted_at: float, there_s: float, back_s: float) -> None:
        await asyncio.sleep(wanted_at)
        async with limit.slot(patience_s=1e6) as slot:
            slot.sent = True
            await asyncio.sleep(there_s)
            arrivals.append(asyncio.get_running_loop().time())
            await asyncio.sleep(back_s)

    async def main() -> None:
        limit = _limit(per_s)
        await asyncio.gather(*(send(limit, *request) for request in requests))

    run(main())
    arrivals.sort()
    assert len(arrivals) == len(requests)
    for first, one_too_many in zip(arrivals, arrivals[per_s:], strict=False):
        assert one_too_many - first >= 1 - 1e-6


def test_the_whole_allowance_is_used_and_what_was_not_sent_costs_nothing() -> None:
    async def main() -> None:
        limit, now = _limit(3), asyncio.get_running_loop().time
        for _ in range(50):
            async with limit.slot(patience_s=1):
                pass
        assert now() == 0
        for _ in range(9):
            async with limit.slot(patience_s=10) as slot:
                slot.sent = True
        assert now() == pytest.approx(2)

    run(main())


def test_who_cannot_wait_is_told_and_takes_nothing_along() -> None:
    async def main() -> None:
        limit, now = _limit(1), asyncio.get_running_loop().time
        async with limit.slot(patience_s=1) as slot:
            slot.sent = True
        with pytest.raises(RateLimited) as refused:
            async with limit.slot(patience_s=0.5):
                pass
        assert refused.value.details["retry_after_s"] == 1
        async with limit.slot(patience_s=1):
            assert now() == pytest.approx(1)
            with pytest.raises(RateLimited):
                async with limit.slot(patience_s=3):
                    pass
        async with limit.slot(patience_s=1):
            assert now() == pytest.approx(4)

    run(main())


def test_a_failed_request_counts_as_sent() -> None:
    async def main() -> None:
        limit = _limit(1)

        async def fail() -> None:
            async with limit.slot(patience_s=1) as slot:
                slot.sent = True
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with limit.slot(patience_s=2):
            assert asyncio.get_running_loop().time() == pytest.approx(1)

    run(main())
