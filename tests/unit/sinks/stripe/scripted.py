"""A method of the library that answers what a test says, and calls on it whose pauses take no time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import stripe

from sinks.stripe.calls import Calls
from sinks.stripe.circuit_breaker import CircuitBreaker
from sinks.stripe.rate_limit import RateLimit


def answer(body: Mapping[str, Any]) -> stripe.StripeObject:
    """Return what the library returns for a body."""
    return stripe.StripeObject(last_response=stripe.StripeResponse(json.dumps(body), 200, {"request-id": "req_ok"}))


def refusal(
    status: int,
    *,
    headers: Mapping[str, str] | None = None,
    kind: type[stripe.StripeError] = stripe.InvalidRequestError,
    **error: Any,
) -> stripe.StripeError:
    """Return what the library raises for an answer of Stripe's."""
    arguments: dict[str, Any] = {
        "http_body": json.dumps({"error": error}),
        "http_status": status,
        "json_body": {"error": error},
        "headers": {"request-id": "req_no", **(headers or {})},
    }
    if issubclass(kind, stripe.InvalidRequestError | stripe.CardError):
        return kind(error.get("message"), error.get("param"), error.get("code"), **arguments)
    return kind(error.get("message"), **arguments)


def failure(status: int, **headers: str) -> stripe.StripeError:
    """Return what the library raises when Stripe fails."""
    return refusal(status, kind=stripe.APIError, headers={k.replace("_", "-"): v for k, v in headers.items()})


def throttled(retry_after: str | None = None, **error: Any) -> stripe.StripeError:
    """Return what the library raises after a 429."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return refusal(429, kind=stripe.RateLimitError, headers=headers, **error)


def connection_error(cause: Exception | None = None) -> stripe.APIConnectionError:
    """Return what the library raises when the network fails."""
    error = stripe.APIConnectionError("Unexpected error communicating with Stripe.", should_retry=True)
    error.__cause__ = cause
    return error


class Scripted:
    """Called like a method of the library; plays `outcomes`, the last one for ever."""

    def __init__(self, *outcomes: stripe.StripeObject | BaseException) -> None:
        self.__qualname__ = "CustomerService.create_async"
        self.outcomes = list(outcomes)
        self.keys: list[str | None] = []
        self.params: list[dict[str, Any] | None] = []

    async def __call__(
        self, *path: str, params: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> stripe.StripeObject:
        self.keys.append(options.get("idempotency_key"))
        self.params.append(None if params is None else dict(params))
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def tries(self) -> int:
        """Return how often it was called."""
        return len(self.keys)


@dataclass
class PausedCalls:
    """Calls in a time that passes only while they pause; `jitter` chooses from what is allowed."""

    jitter: float = 1.0
    max_tries: int = 8
    give_up_s: float = 1_000.0
    breaker_failures: int = 100
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the calls."""
        self.breaker = CircuitBreaker(failures=self.breaker_failures, open_s=10.0, clock=lambda: self.now)
        self.calls = Calls(
            RateLimit(1_000, clock=lambda: self.now, sleep=self._sleep),
            self.breaker,
            timeout_s=5.0,
            max_tries=self.max_tries,
            give_up_s=self.give_up_s,
            clock=lambda: self.now,
            sleep=self._sleep,
            jitter=lambda low, high: low + self.jitter * (high - low),
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
