"""Stripe's failures as ours: what the caller is told, and whether the same call may be repeated.

Messages of Stripe pass through `redact`; bodies, keys and cards never leave this module.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import stripe

from runtime.clock import utc_now
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

_LONGEST_MESSAGE: Final = 500
_SECRETS: Final = re.compile(
    r"\b(?:sk|rk|pk|whsec)_\w+"  # keys
    r"|\b\w+_secret_\w+"  # client secrets of intents and sessions
    r"|\b\d(?:[ -]?\d){12,18}\b"  # card numbers
)
# Our own mistakes in a 400; the rest of them is what the caller sent.
_OURS: Final = frozenset({"parameter_unknown", "parameter_missing"})
# Told as 402, or as 400 where a later step of the payment found out.
_PAYMENT: Final = frozenset({"invoice_payment_intent_requires_action", "subscription_payment_intent_requires_action"})
_MOVED_ON: Final = frozenset(
    {
        "invoice_not_editable",
        "payment_intent_unexpected_state",
        "resource_already_exists",
        "setup_intent_unexpected_state",
    }
)
# This refusal has been seen without its documented code `duplicate_meter_event`; the words are always there.
_METER_EVENT_IS_KNOWN: Final = "An event already exists with identifier"
METER_EVENT_EXISTS: Final = "METER_EVENT_EXISTS"


@dataclass(frozen=True, slots=True)
class Failure:
    """One try that failed."""

    error: MeterstreamError
    repeat: bool
    """The same call with the same idempotency key may do better."""
    of_service: bool = False
    """Counts for the circuit breaker."""
    timeout: bool = False
    retry_after_s: float = 0.0


def redact(text: str) -> str:
    """Return a text without what looks like a key, a client secret or a card number, and not too long."""
    return _SECRETS.sub("[redacted]", text)[:_LONGEST_MESSAGE]


def no_answer() -> Failure:
    """Return what a try is that took too long: it may have had its effect."""
    return Failure(Unavailable("Stripe did not answer in time."), repeat=True, of_service=True, timeout=True)


def read_failure(exc: stripe.StripeError) -> Failure:
    """Return what an error of the library means."""
    if isinstance(exc, stripe.APIConnectionError):
        if isinstance(exc.__cause__, httpx.TimeoutException):
            return no_answer()
        reason = type(exc.__cause__).__name__
        return Failure(Unavailable("Stripe cannot be reached.", reason=reason), repeat=True, of_service=True)
    headers = httpx.Headers(exc.headers)
    advice = headers.get("stripe-should-retry")
    retry_after_s = _retry_after_s(headers.get("retry-after", ""))
    status = exc.http_status or 0
    body = _error_body(exc)
    details = _details(exc, body)
    if isinstance(exc, stripe.RateLimitError):
        later = RateLimited("Stripe takes no more calls for now.", **details)
        later.details["retry_after_s"] = max(1, math.ceil(retry_after_s))
        # Repeated whatever the advice is: that speaks of repeating at once, and we wait.
        return Failure(later, repeat=True, retry_after_s=retry_after_s)
    if status < 300 or status >= 500:  # an unreadable success is an answer that was lost
        if advice == "false":
            final = StripeAPIError("Stripe failed, and would give the same answer again.", status=status, **details)
            return Failure(final, repeat=False, of_service=True)
        failed = Unavailable("Stripe failed to answer.", status=status, **details)
        return Failure(failed, repeat=True, of_service=True, retry_after_s=retry_after_s)
    if body.get("code") == "idempotency_key_in_use":
        # No refusal: an earlier try, or another process's, is still on its way, and what becomes of it is open.
        return Failure(Unavailable("Stripe still works on this very call.", **details), repeat=True)
    repeat = advice == "true" or (status == 409 and advice != "false")
    return Failure(_refusal(status, body, details), repeat=repeat, retry_after_s=retry_after_s)


def _refusal(status: int, body: dict[str, Any], details: dict[str, Any]) -> MeterstreamError:
    message = redact(str(body.get("message") or "Stripe refused the call."))
    code = str(body.get("code") or "")
    if status in (401, 403):
        # Stripe repeats parts of the key here.
        return StripeAPIError("Stripe does not accept our API key for this call.", status=status, **details)
    if status == 402 or code in _PAYMENT:
        return PaymentFailed(message, **details)
    if body.get("type") == "idempotency_error":
        return ConflictError(message, code="IDEMPOTENCY_KEY_REUSED", **details)
    if status == 404 and code:  # without a code it is no thing but a path that Stripe does not know
        return NotFoundError(message, **details)
    if message.startswith(_METER_EVENT_IS_KNOWN):
        return ConflictError(message, code=METER_EVENT_EXISTS, **details)
    if status == 409 or code in _MOVED_ON:
        return ConflictError(message, **details)
    if status == 400 and code not in _OURS:
        return InvalidInput(message, **details)
    return StripeAPIError(message, status=status, **details)


def _error_body(exc: stripe.StripeError) -> dict[str, Any]:
    body = exc.json_body.get("error") if isinstance(exc.json_body, dict) else None
    return body if isinstance(body, dict) else {}


def _details(exc: stripe.StripeError, body: dict[str, Any]) -> dict[str, Any]:
    """Return what helps to find the call again, and what a customer may be told; never the body as a whole."""
    intent = body.get("payment_intent")
    found = {
        "stripe_request_id": exc.request_id,
        "stripe_code": body.get("code"),
        "decline_code": body.get("decline_code"),
        "field": body.get("param"),
        "payment_intent": intent.get("id") if isinstance(intent, dict) else None,
    }
    return {name: redact(str(value)) for name, value in found.items() if value is not None}


def _retry_after_s(value: str) -> float:
    """Read seconds or a date; anything else is no advice."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - utc_now()).total_seconds())
    except (TypeError, ValueError):
        return 0.0
