"""The one door to Stripe: calls are limited, timed, repeated under one idempotency key, and their failures are ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import stripe

from runtime.errors import InvalidInput, NotFoundError, StripeAPIError
from runtime.logging import get_logger
from sinks.stripe.circuit_breaker import CircuitBreaker
from sinks.stripe.failures import Failure, no_answer, read_failure
from sinks.stripe.rate_limit import RateLimit

log = get_logger(__name__)

API_VERSION: Final = "2026-10-28.endive"
"""What we were written and tested against; the library's own, which `client` checks."""
Json: TypeAlias = dict[str, Any]
"""An object as Stripe sent it: plain JSON; numbers that are not whole are Decimal, references ids unless expanded."""
Method: TypeAlias = Callable[..., Awaitable[stripe.StripeObject]]
"""An `…_async` method of the library: path arguments, then `params` and `options`."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_LONGEST_KEY: Final = 255
_LONGEST_ID: Final = 255
_PAGE: Final = 100


class Calls:
    """Makes calls on behalf of the nouns.

    A call is tried at most `max_tries` times, and no try begins after `give_up_s`. All carry the same key, so that one
    whose answer was lost has its effect once. `Unavailable` leaves open whether it had it: calling again with the same
    key finds out.
    """

    def __init__(
        self,
        limit: RateLimit,
        breaker: CircuitBreaker,
        *,
        timeout_s: float,
        max_tries: int,
        give_up_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._limit = limit
        self._breaker = breaker
        self._timeout_s = timeout_s
        self._max_tries = max_tries
        self._give_up_s = give_up_s
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def read(self, method: Method, *path: str, params: Mapping[str, Any] | None = None) -> Json:
        """Call a GET."""
        return await self._call(method, path, params, {})

    async def write(self, method: Method, *path: str, key: str, params: Mapping[str, Any] | None = None) -> Json:
        """Call a POST. `key` names the intent: it has its effect once in 24 hours, also when we crash and repeat."""
        return await self._call(method, path, params, {"idempotency_key": idempotency_key(key)})

    async def delete(self, method: Method, *path: str, params: Mapping[str, Any] | None = None) -> Json:
        """Call a DELETE, which takes no key. Raises: NotFoundError also when an earlier try did it, unheard."""
        return await self._call(method, path, params, {})

    async def remove(self, method: Method, *path: str, params: Mapping[str, Any] | None = None) -> Json:
        """Call a DELETE; what is gone counts as deleted."""
        try:
            return await self.delete(method, *path, params=params)
        except NotFoundError:
            return {"id": path[-1], "deleted": True}

    async def each(self, method: Method, *path: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[Json]:
        """Yield every object of a list, newest first, page by page."""
        page_params = {"limit": _PAGE, **(params or {})}
        while True:
            page = await self.read(method, *path, params=page_params)
            for item in page["data"]:
                yield item
            if not page["has_more"] or not page["data"]:
                return
            page_params["starting_after"] = page["data"][-1]["id"]

    async def _call(
        self, method: Method, path: tuple[str, ...], params: Mapping[str, Any] | None, options: stripe.RequestOptions
    ) -> Json:
        name = method.__qualname__.removesuffix("_async")
        for part in path:
            if not part.strip("./ ") or len(part) > _LONGEST_ID:
                # An empty id would ask for the whole list.
                raise InvalidInput(f"{part[:50]!r} is no id of Stripe's.", call=name)
        params = _plain(params)
        started, number, timeouts = self._clock(), 0, 0
        deadline = started + self._give_up_s
        while True:
            number += 1
            outcome = await self._try(lambda: method(*path, params=params, options=options), deadline)
            if not isinstance(outcome, Failure):
                return self._answer(name, outcome, tries=number, seconds=self._clock() - started)
            timeouts += outcome.timeout
            at_once = outcome.timeout and timeouts == 1
            pause_s = 0.0 if at_once else self._pause_s(number, outcome)
            if not outcome.repeat or number == self._max_tries or self._clock() + pause_s >= deadline:
                outcome.error.details.update(call=name, tries=number)
                raise outcome.error
            _log_repetition(name, outcome, tries=number, pause_s=pause_s)
            await self._sleep(pause_s)

    async def _try(
        self, send: Callable[[], Awaitable[stripe.StripeObject]], deadline: float
    ) -> stripe.StripeObject | Failure:
        """Send once. Raises: Unavailable while the breaker is open, RateLimited if no slot comes free in time."""
        async with self._limit.slot(patience_s=deadline - self._clock()) as slot:
            self._breaker.admit()
            slot.sent = True
            try:
                outcome = await self._outcome(send)
            except BaseException:
                self._breaker.abandoned()
                raise
            if isinstance(outcome, Failure) and outcome.of_service:
                self._breaker.failed()
            else:
                self._breaker.worked()
            return outcome

    async def _outcome(self, send: Callable[[], Awaitable[stripe.StripeObject]]) -> stripe.StripeObject | Failure:
        try:
            # The library's own timeout is for a silence, this one is for the whole.
            async with asyncio.timeout(self._timeout_s):
                return await send()
        except TimeoutError:
            return no_answer()
        except stripe.StripeError as exc:
            return read_failure(exc)
        except UnicodeEncodeError as exc:
            raise InvalidInput("A text for Stripe holds half a character (a lone surrogate).") from exc

    def _pause_s(self, number: int, failure: Failure) -> float:
        """Return how long to wait: what Stripe asks for, and a random part that spreads the callers."""
        ceiling_s = min(_FIRST_PAUSE_S * 2 ** (number - 1), _LONGEST_PAUSE_S)
        return failure.retry_after_s + self._jitter(0.0, ceiling_s)

    def _answer(self, name: str, answer: stripe.StripeObject, *, tries: int, seconds: float) -> Json:
        """Return the body as it came: the library's objects are no dicts, and turn fractions into floats."""
        response = answer.last_response if isinstance(answer, stripe.StripeObject) else None
        if response is None:
            raise StripeAPIError("Stripe answered something that is no object.", call=name)
        log.debug(
            "A call to Stripe",
            call=name,
            tries=tries,
            duration_ms=round(seconds * 1000, 1),
            stripe_request_id=response.request_id,
        )
        body: Json = json.loads(response.body, parse_float=Decimal)
        return body


def idempotency_key(key: str) -> str:
    """Return the key as Stripe takes it: itself if it is short and plain, else its hash."""
    if not key:
        raise ValueError("An idempotency key must not be empty.")
    if len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and key == key.strip():
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Write decimals out: the library sends `1E+2` as it is, and Stripe cannot read that."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _log_repetition(name: str, failure: Failure, *, tries: int, pause_s: float) -> None:
    log.warning(
        "A call to Stripe is repeated",
        call=name,
        tries=tries,
        pause_s=round(pause_s, 3),
        reason=failure.error.message,
        stripe_request_id=failure.error.details.get("stripe_request_id"),
    )
