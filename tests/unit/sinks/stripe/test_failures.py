from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
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
from sinks.stripe.failures import read_failure, redact
from tests.unit.sinks.stripe.scripted import connection_error, failure, refusal, throttled


@pytest.mark.parametrize(
    ("exc", "kind", "repeat", "of_service"),
    [
        (connection_error(), Unavailable, True, True),
        (connection_error(httpx.ConnectTimeout("slow")), Unavailable, True, True),
        (failure(500), Unavailable, True, True),
        (failure(504), Unavailable, True, True),
        (failure(500, stripe_should_retry="false"), StripeAPIError, False, True),
        (failure(200), Unavailable, True, True),
        (failure(302), StripeAPIError, False, False),
        (throttled(), RateLimited, True, False),
        (throttled(code="lock_timeout"), RateLimited, True, False),
        (refusal(409, kind=stripe.APIError), ConflictError, True, False),
        (refusal(409, kind=stripe.IdempotencyError, code="idempotency_key_in_use"), Unavailable, True, False),
        (refusal(400, param="quantity"), InvalidInput, False, False),
        (refusal(400, code="parameter_unknown"), StripeAPIError, False, False),
        (refusal(400, code="resource_already_exists"), ConflictError, False, False),
        (refusal(400, code="resource_missing", param="customer"), InvalidInput, False, False),
        (refusal(404, code="resource_missing"), NotFoundError, False, False),
        (refusal(404, message="Unrecognized request URL"), StripeAPIError, False, False),
        (refusal(401, kind=stripe.AuthenticationError), StripeAPIError, False, False),
        (refusal(403, kind=stripe.PermissionError), StripeAPIError, False, False),
        (refusal(402, kind=stripe.CardError, code="card_declined"), PaymentFailed, False, False),
        (refusal(400, code="subscription_payment_intent_requires_action"), PaymentFailed, False, False),
    ],
)
def test_each_failure_has_its_meaning(
    exc: stripe.StripeError, kind: type[MeterstreamError], repeat: bool, of_service: bool
) -> None:
    read = read_failure(exc)
    assert type(read.error) is kind
    assert (read.repeat, read.of_service) == (repeat, of_service)


def test_a_declined_card_tells_what_a_customer_may_know() -> None:
    error: dict[str, Any] = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
        "payment_intent": {"id": "pi_1", "client_secret": "pi_1_secret_x", "last_payment_error": {"card": "4242"}},
        "payment_method": {"card": {"last4": "0002"}},
    }
    told = read_failure(refusal(402, kind=stripe.CardError, **error)).error
    assert told.message == "Your card has insufficient funds."
    assert told.details == {
        "stripe_request_id": "req_no",
        "stripe_code": "card_declined",
        "decline_code": "insufficient_funds",
        "payment_intent": "pi_1",
    }


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("sk_test_51Habc", "Invalid API Key provided: sk_test_51Habc"),
        ("rk_live_x9", "key rk_live_x9 lacks permission"),
        ("whsec_Zz9", "secret=whsec_Zz9."),
        ("seti_1_secret_Qw", "SetupIntent seti_1_secret_Qw was used"),
        ("4242424242424242", "The card 4242424242424242 was declined"),
        ("4242 4242 4242 4242", "number 4242 4242 4242 4242"),
    ],
)
def test_messages_lose_what_looks_like_a_secret(secret: str, text: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)
    told = read_failure(refusal(400, message=text, param=text)).error
    assert secret not in f"{told} {told!r} {told.details}"


def test_messages_keep_what_helps() -> None:
    assert redact("No such price: 'price_1QabcDEF' at 1795000000") == "No such price: 'price_1QabcDEF' at 1795000000"
    assert len(redact("x" * 5_000)) == 500


def test_a_refused_key_is_not_repeated_to_anybody() -> None:
    told = read_failure(refusal(401, kind=stripe.AuthenticationError, message="Invalid API Key: mk_odd")).error
    assert "mk_odd" not in f"{told} {told.details}"


def test_an_answer_of_somebody_else_is_not_passed_on() -> None:
    body = "<html>proxy of sk_test_1</html>"
    told = read_failure(stripe.APIError(f"Invalid response object from API: {body!r}", body, 502)).error
    assert isinstance(told, Unavailable)
    assert "proxy" not in f"{told} {told.details}"


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("-3", 0.0), ("1.5", 0.0)])
def test_retry_after_is_seconds(value: str, seconds: float) -> None:
    assert read_failure(throttled(value)).retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(utc_now() + timedelta(seconds=100), usegmt=True)
    assert 90 < read_failure(throttled(at)).retry_after_s <= 100
    assert read_failure(throttled("Mon, 01 Jan 2024 00:00:00 GMT")).retry_after_s == 0.0
    assert read_failure(throttled("Mon, 01 Jan 2024 00:00:00")).retry_after_s == 0.0
