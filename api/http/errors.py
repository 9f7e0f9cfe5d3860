"""Our errors as HTTP: which number, one shape, RFC 9457 on request. The one place where HTTP numbers are decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.http.invalid_requests import field_and_message
from api.http.responses import UnreadableBody
from runtime import errors
from runtime.logging import get_logger

log = get_logger(__name__)

# The most special first.
_STATUS: Final[tuple[tuple[type[errors.MeterstreamError], int], ...]] = (
    (errors.ValidationError, 400),
    (errors.AuthenticationError, 401),
    (errors.AuthorizationError, 403),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.PayloadTooLarge, 413),
    (errors.BusinessLogicError, 422),
    (errors.RateLimited, 429),
    (errors.Unavailable, 503),
)
_RETRY_AFTER_S: Final = 1
# Which call to Stripe it was: logs know it, and no client can do anything with it.
_OF_OUR_LOG: Final = frozenset({"call", "tries"})
_PROBLEM_JSON: Final = "application/problem+json"
# Codes of what the framework itself refuses.
_FRAMEWORK_CODES: Final = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable, upper case: match on this.", examples=["INVALID_INPUT"])
    message: str = Field(description="For people; says what would be right.")
    details: dict[str, Any] = Field(default_factory=dict, description="The field, the limit, the state …")


class ErrorEnvelope(BaseModel):
    """Every error of this service. With `Accept: application/problem+json` the same as RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": False,
                "error": {"code": "METER_NOT_FOUND", "message": "No meter 'tokens'.", "details": {}},
                "request_id": "0b6ff1c5e0e8494fb3ac4bd8a0ff0f4e",
            }
        }
    )

    success: bool = Field(default=False, description="Always false.")
    error: ErrorBody
    request_id: str = Field(description="Also in the header X-Request-ID and in our logs.")


def status_of(error: errors.MeterstreamError) -> int:
    """Return the HTTP number of an error; 500 for what is ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_response(
    *,
    status: int,
    code: str,
    message: str,
    request_id: str,
    accept: str = "",
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the one shape of an error, or RFC 9457 if `accept` asks for it."""
    problem = _PROBLEM_JSON in accept.lower()
    if problem:
        body: dict[str, Any] = {
            "type": f"urn:meterstream:error:{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "code": code,
            "details": dict(details or {}),
            "request_id": request_id,
        }
    else:
        error = {"code": code, "message": message, "details": dict(details or {})}
        body = {"success": False, "error": error, "request_id": request_id}
    media_type = _PROBLEM_JSON if problem else "application/json"
    # ASCII only: messages repeat what the caller sent, and lone surrogates have no UTF-8.
    content = json.dumps(body, default=str).encode()
    return Response(content, status_code=status, media_type=media_type, headers=dict(headers or {}))


def respond(error: errors.MeterstreamError, *, request_id: str, accept: str) -> Response:
    """Return the answer to one of our errors; what is ours is logged, and told without its inside."""
    status = status_of(error)
    details = {name: value for name, value in error.details.items() if name not in _OF_OUR_LOG}
    headers = {}
    if status in (429, 503) or "retry_after_s" in details:
        headers["Retry-After"] = str(details.get("retry_after_s", _RETRY_AFTER_S))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="meterstream"'
    message = error.message
    if status == 500:
        log.error("A request failed", code=error.code, reason=message, **_without_reserved(error.details))
        message, details = "Something is wrong on our side; the request id finds it in our logs.", {}
    return error_response(
        status=status,
        code=error.code,
        message=message,
        details=details,
        request_id=request_id,
        accept=accept,
        headers=headers,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Make every refusal of this application have our shape: ours, the framework's, and unknown routes."""
    app.add_exception_handler(errors.MeterstreamError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_framework_error)


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id that the middleware gave to this request."""
    return str(scope.get("state", {}).get("request_id", ""))


async def _on_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.MeterstreamError)
    return respond(error, request_id=request_id_of(request.scope), accept=_accept(request.headers))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = error.errors()
    body = next((problem.get("input") for problem in told if problem["loc"][0] == "body"), None)
    if isinstance(body, UnreadableBody):
        return await _on_our_error(request, errors.InvalidInput(f"The body is not JSON: {body.reason}.", field="body"))
    if isinstance(told[0].get("input"), bytes) and told[0]["loc"] == ("body",):
        return await _on_our_error(request, _unread(request.headers.get("content-type")))
    problems = [field_and_message(problem) for problem in told]
    field, message = problems[0]
    invalid = errors.SchemaValidation(
        # What is said of a whole body names the place itself.
        message if told[0]["type"] == "value_error" and field == "body" else f"{field}: {message}",
        field=field,
        problems=[{"field": each, "message": text} for each, text in problems],
    )
    return await _on_our_error(request, invalid)


async def _on_framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(
        status=error.status_code,
        code=_FRAMEWORK_CODES.get(error.status_code, "INVALID_INPUT"),
        message=str(error.detail),
        request_id=request_id_of(request.scope),
        accept=_accept(request.headers),
        headers=error.headers,
    )


def _accept(headers: Headers) -> str:
    return headers.get("accept", "")


def _unread(content_type: str | None) -> errors.InvalidInput:
    """Return what is said of a body that nobody could take for JSON."""
    came = "without one" if content_type is None else f"with {content_type[:80]!r}"
    return errors.InvalidInput(
        f"Send the body with the header Content-Type: application/json; it came {came}.", field="Content-Type"
    )


def _without_reserved(details: Mapping[str, Any]) -> dict[str, Any]:
    return {f"detail_{key}": value for key, value in details.items()}
