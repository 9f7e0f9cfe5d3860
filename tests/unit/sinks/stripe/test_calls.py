from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe
from structlog.testing import capture_logs

from runtime.errors import (
    ConflictError,
    InvalidInput,
    MeterstreamError,
    NotFoundError,
    PaymentFailed,
    RateLimited,
    StripeAPIError,
    Unavailable,
)
from sinks.stripe.calls import Calls, idempotency_key
from sinks.stripe.circuit_breaker import CircuitBreaker, State
from sinks.stripe.rate_limit import RateLimit
from tests.unit.sinks.stripe.scripted import (
    PausedCalls,
    Scripted,
    answer,
    connection_error,
    failure,
    refusal,
    throttled,
)

_OK = answer({"id": "cus_1", "percent_off": 12.5, "unit_amount_decimal": "0.125"})
_TIMEOUT = connection_error(httpx.ReadTimeout("silence"))


async def _write(paused: PausedCalls, method: Scripted, key: str = "customer:1") -> dict[str, Any]:
    return await paused.calls.write(method, key=key, params={"name": "x"})


async def _refused(paused: PausedCalls, method: Scripted) -> MeterstreamError:
    with pytest.raises(MeterstreamError) as refused:
        await _write(paused, method)
    return refused.value


async def test_the_answer_is_the_body_as_it_came() -> None:
    assert await _write(PausedCalls(), Scripted(_OK)) == {
        "id": "cus_1",
        "percent_off": Decimal("12.5"),
        "unit_amount_decimal": "0.125",
    }


@pytest.mark.parametrize(
    "problem", [failure(500), failure(503), refusal(409, kind=stripe.APIError), connection_error(), throttled()]
)
async def test_what_may_do_better_is_repeated_with_the_same_key(problem: Exception) -> None:
    method = Scripted(problem, problem, problem, _OK)
    paused = PausedCalls()
    assert (await _write(paused, method))["id"] == "cus_1"
    assert method.keys == ["customer:1"] * 4
    assert method.params == [{"name": "x"}] * 4
    assert paused.pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "problem",
    [
        refusal(400, message="no"),
        refusal(402, kind=stripe.CardError),
        refusal(404),
        refusal(403, kind=stripe.PermissionError),
        refusal(400, kind=stripe.IdempotencyError, type="idempotency_error"),
        failure(500, stripe_should_retry="false"),
        refusal(409, kind=stripe.APIError, headers={"Stripe-Should-Retry": "false"}),
    ],
)
async def test_what_would_fail_again_is_not_repeated(problem: Exception) -> None:
    method = Scripted(problem)
    await _refused(PausedCalls(), method)
    assert method.tries == 1


async def test_stripe_may_ask_for_a_repetition_of_anything() -> None:
    method = Scripted(refusal(400, headers={"stripe-should-retry": "true"}), _OK)
    await _write(PausedCalls(), method)
    assert method.tries == 2


async def test_pauses_grow_to_a_ceiling_and_are_chosen_from_nothing_to_it() -> None:
    paused = PausedCalls(max_tries=9)
    await _refused(paused, Scripted(failure(500)))
    assert paused.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    hasty = PausedCalls(jitter=0.0)
    await _refused(hasty, Scripted(failure(500)))
    assert hasty.pauses == [0.0] * 7


async def test_retry_after_is_waited_for_and_a_little_more() -> None:
    paused = PausedCalls()
    await _write(paused, Scripted(throttled("7"), throttled("3"), _OK))
    assert paused.pauses == [7.5, 4.0]


async def test_after_a_timeout_exactly_one_repetition_comes_at_once() -> None:
    method = Scripted(_TIMEOUT, _TIMEOUT, _TIMEOUT, _OK)
    paused = PausedCalls()
    await _write(paused, method)
    assert paused.pauses == [0.0, 1.0, 2.0]
    assert set(method.keys) == {"customer:1"}


async def test_a_try_that_hangs_is_given_up() -> None:
    class Hanging(Scripted):
        async def __call__(self, *path: str, **arguments: Any) -> stripe.StripeObject:
            outcome = await super().__call__(*path, **arguments)
            if self.tries == 1:
                await asyncio.Event().wait()
            return outcome

    method = Hanging(_OK)
    calls = Calls(RateLimit(9), CircuitBreaker(failures=9, open_s=1), timeout_s=0.05, max_tries=2, give_up_s=9)
    assert (await calls.write(method, key="k"))["id"] == "cus_1"
    assert method.keys == ["k", "k"]


async def test_tries_are_bounded() -> None:
    method = Scripted(failure(500))
    refused = await _refused(PausedCalls(max_tries=3), method)
    assert method.tries == 3
    assert isinstance(refused, Unavailable)
    assert refused.details == {
        "status": 500,
        "stripe_request_id": "req_no",
        "call": "CustomerService.create",
        "tries": 3,
    }


async def test_no_try_begins_after_the_time_is_up() -> None:
    method, paused = Scripted(failure(500)), PausedCalls(give_up_s=4.0)
    assert isinstance(await _refused(paused, method), Unavailable)
    assert (method.tries, paused.now) == (4, 3.5)
    far = PausedCalls(give_up_s=60.0)
    refused = await _refused(far, Scripted(throttled("3600")))
    assert isinstance(refused, RateLimited)
    assert (refused.details["retry_after_s"], far.pauses) == (3600, [])


async def test_the_breaker_opens_for_failures_of_the_service_and_not_for_refusals() -> None:
    declined = refusal(402, kind=stripe.CardError, message="Your card was declined.")
    paused = PausedCalls(breaker_failures=3)
    for problem in (declined, refusal(400), throttled(), refusal(409, kind=stripe.APIError)):
        await _refused(paused, Scripted(problem))
    assert paused.breaker.state is State.CLOSED
    failing = Scripted(failure(500))
    refused = await _refused(paused, failing)
    assert failing.tries == 3
    assert isinstance(refused, Unavailable)
    assert refused.details["retry_after_s"] >= 1
    unasked = Scripted(_OK)
    assert isinstance(await _refused(paused, unasked), Unavailable)
    assert unasked.tries == 0
    paused.now += 10
    await _write(paused, unasked)
    assert paused.breaker.state == State.CLOSED


async def test_a_cancelled_probe_does_not_close_the_door() -> None:
    paused = PausedCalls(breaker_failures=1)
    await _refused(paused, Scripted(failure(500)))
    paused.now += 10
    with pytest.raises(asyncio.CancelledError):
        await paused.calls.read(Scripted(asyncio.CancelledError()))
    assert paused.breaker.state is State.OPEN
    assert (await paused.calls.read(Scripted(_OK)))["id"] == "cus_1"


async def test_deletes_are_done_when_the_thing_is_gone() -> None:
    gone = Scripted(refusal(404, code="resource_missing"))
    assert await PausedCalls().calls.remove(gone, "cus_1") == {"id": "cus_1", "deleted": True}
    with pytest.raises(NotFoundError):
        await PausedCalls().calls.delete(gone, "cus_1")


async def test_lists_are_read_page_by_page() -> None:
    pages = [
        answer({"object": "list", "data": [{"id": "a"}, {"id": "b"}], "has_more": True}),
        throttled(),
        answer({"object": "list", "data": [{"id": "c"}], "has_more": False}),
    ]
    method = Scripted(*pages)
    found = [item["id"] async for item in PausedCalls().calls.each(method, params={"active": True})]
    assert found == ["a", "b", "c"]
    assert method.params == [
        {"limit": 100, "active": True},
        {"limit": 100, "active": True, "starting_after": "b"},
        {"limit": 100, "active": True, "starting_after": "b"},
    ]


async def test_decimals_are_written_out() -> None:
    method = Scripted(_OK)
    await PausedCalls().calls.write(method, key="k", params={"tiers": [{"unit_amount_decimal": Decimal("1E+2")}]})
    assert method.params == [{"tiers": [{"unit_amount_decimal": "100"}]}]


@pytest.mark.parametrize("part", ["", " ", ".", "..", "x" * 256])
async def test_what_is_no_id_is_not_sent(part: str) -> None:
    method = Scripted(_OK)
    with pytest.raises(InvalidInput):
        await PausedCalls().calls.read(method, part)
    assert method.tries == 0


async def test_half_a_character_is_refused() -> None:
    problem = UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
    assert isinstance(await _refused(PausedCalls(), Scripted(problem)), InvalidInput)


async def test_an_answer_that_is_no_object_is_told() -> None:
    assert isinstance(await _refused(PausedCalls(), Scripted(stripe.StripeObject())), StripeAPIError)


async def test_each_call_is_one_debug_line_and_each_repetition_a_warning() -> None:
    with capture_logs() as lines:
        await _write(PausedCalls(), Scripted(throttled("1"), _OK))
    warned, called = lines
    assert (warned["log_level"], warned["call"], warned["tries"]) == ("warning", "CustomerService.create", 1)
    assert (warned["pause_s"], warned["stripe_request_id"]) == (1.5, "req_no")
    assert (called["log_level"], called["tries"], called["stripe_request_id"]) == ("debug", 2, "req_ok")
    assert called["duration_ms"] == 1_500


@pytest.mark.parametrize(
    ("problem", "kind", "code"),
    [
        (refusal(402, kind=stripe.CardError, code="card_declined"), PaymentFailed, "PAYMENT_FAILED"),
        (refusal(400, kind=stripe.IdempotencyError, type="idempotency_error"), ConflictError, "IDEMPOTENCY_KEY_REUSED"),
        (refusal(400, message="An event already exists with identifier u:1."), ConflictError, "METER_EVENT_EXISTS"),
    ],
)
async def test_callers_are_told_what_they_can_decide_on(problem: Exception, kind: type[Exception], code: str) -> None:
    refused = await _refused(PausedCalls(), Scripted(problem))
    assert isinstance(refused, kind)
    assert refused.code == code


def test_keys_that_stripe_cannot_take_are_hashed() -> None:
    assert idempotency_key("checkout:order-7") == "checkout:order-7"
    assert idempotency_key("k" * 255) == "k" * 255
    for odd in ("k" * 256, "kä", "k\n", " k", "\ud800"):
        hashed = idempotency_key(odd)
        assert hashed == idempotency_key(odd)
        assert hashed.startswith("sha256:")
        assert len(hashed) == 71
    with pytest.raises(ValueError, match="empty"):
        idempotency_key("")
