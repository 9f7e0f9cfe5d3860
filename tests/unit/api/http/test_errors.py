from __future__ import annotations

import json

import pytest

from api.http.errors import respond, status_of
from runtime import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("x"), 400),
        (errors.SchemaValidation("x"), 400),
        (errors.InvalidToken("x"), 401),
        (errors.InsufficientPermissions("x"), 403),
        (errors.NotFoundError("x"), 404),
        (errors.ConflictError("x"), 409),
        (errors.PayloadTooLarge("x"), 413),
        (errors.InvalidStateTransition("x"), 422),
        (errors.PaymentFailed("x"), 422),
        (errors.RateLimited("x"), 429),
        (errors.Transient("x"), 503),
        (errors.DatabaseError("x"), 500),
        (errors.StripeAPIError("x"), 500),
        (errors.RefusedToStart("x"), 500),
        (errors.MeterstreamError("x"), 500),
    ],
)
def test_every_error_has_its_number(error: errors.MeterstreamError, status: int) -> None:
    assert status_of(error) == status


def test_the_shape_and_rfc_9457_say_the_same() -> None:
    error = errors.InvalidInput("slug is wrong", field="slug")
    ours = json.loads(respond(error, request_id="r1", accept="application/json").body)
    assert ours == {
        "success": False,
        "error": {"code": "INVALID_INPUT", "message": "slug is wrong", "details": {"field": "slug"}},
        "request_id": "r1",
    }
    response = respond(error, request_id="r1", accept="text/html, application/problem+json;q=0.9")
    problem = json.loads(response.body)
    assert response.media_type == "application/problem+json"
    assert (problem["status"], problem["title"], problem["detail"]) == (400, "Bad Request", "slug is wrong")
    assert (problem["code"], problem["details"], problem["request_id"]) == ("INVALID_INPUT", {"field": "slug"}, "r1")


def test_what_is_ours_is_told_without_its_inside() -> None:
    response = respond(errors.DatabaseError("select secret from t", table="t"), request_id="r1", accept="")
    assert response.status_code == 500
    assert b"secret" not in response.body
    assert json.loads(response.body)["error"]["details"] == {}


def test_calls_to_stripe_are_for_the_log() -> None:
    refused = errors.PaymentFailed("no", decline_code="lost_card", call="PaymentMethodService.attach", tries=1)
    told = json.loads(respond(refused, request_id="r1", accept="").body)["error"]["details"]
    assert told == {"decline_code": "lost_card"}
    assert refused.details["call"] == "PaymentMethodService.attach"


def test_later_says_when() -> None:
    assert respond(errors.RateLimited("x", retry_after_s=7), request_id="", accept="").headers["retry-after"] == "7"
    assert respond(errors.Unavailable("x"), request_id="", accept="").headers["retry-after"] == "1"


def test_messages_may_hold_what_no_utf8_can() -> None:
    response = respond(errors.InvalidInput("lone \ud800 surrogate"), request_id="", accept="")
    assert json.loads(response.body)["error"]["message"] == "lone \ud800 surrogate"
