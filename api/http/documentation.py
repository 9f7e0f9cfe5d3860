"""What the OpenAPI document says about errors, and pages that show it without the internet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.http.errors import ErrorEnvelope
from api.http.idempotency import HEADER, REPLAYED

PREFIX: Final = "/api/v1"
"""Of every route that takes a key."""

_MEANINGS: Final = {
    400: "The input does not fit; `details` names the field.",
    401: "No credential, or one that is unknown, revoked, forged or expired (EXPIRED_TOKEN).",
    403: "The key lacks the scope, the member's role is too small, or the credential is of the wrong kind.",
    404: "No such thing, or it belongs to another tenant.",
    406: "No such format.",
    409: "The name is taken, or the state has moved.",
    413: "More than a request may hold.",
    415: "A content type or encoding that is not read here.",
    422: "Understood, and refused by a rule of the product.",
    429: "Later: see the header Retry-After.",
    500: "Something is wrong on our side.",
    503: "A store does not answer. The same request again is safe: see the header Retry-After.",
}
_EXAMPLE_CODES: Final = {
    400: "INVALID_INPUT",
    401: "INVALID_TOKEN",
    403: "INSUFFICIENT_PERMISSIONS",
    404: "NOT_FOUND",
    406: "NOT_ACCEPTABLE",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE",
    429: "RATE_LIMITED",
    500: "UNEXPECTED_ERROR",
    503: "UNAVAILABLE",
}
_RETRY_AFTER: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_ALWAYS: Final = (400, 401, 403, 404, 429, 500, 503)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route with a key: these statuses, and those that every such route has."""
    return {status: _response(status) for status in sorted({*statuses, *_ALWAYS})}


def _response(status: int) -> dict[str, Any]:
    example = {
        "success": False,
        "error": {"code": _EXAMPLE_CODES[status], "message": _MEANINGS[status], "details": {}},
        "request_id": "0b6ff1c5e0e8494fb3ac4bd8a0ff0f4e",
    }
    response: dict[str, Any] = {
        "model": ErrorEnvelope,
        "description": _MEANINGS[status],
        "content": {"application/json": {"example": example}},
    }
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    return response


def install_documentation(app: FastAPI) -> None:
    """Serve `/openapi.json` as it is in truth, and `/docs` from files of our own."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
                servers=app.servers,
            )
            app.openapi_schema = _with_idempotency(_without_framework_validation(document))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    app.mount("/docs/static", StaticFiles(directory=_swagger_ui_files()), name="docs-static")

    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} API",
            swagger_js_url=f"{root}/docs/static/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/static/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    async def home(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '').rstrip('/')}/docs")

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/", home, include_in_schema=False)


def _swagger_ui_files() -> Path:
    """Return the folder of Swagger UI's files, which the `fastapi-offline` wheel ships; its code is not used."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def _with_idempotency(document: dict[str, Any]) -> dict[str, Any]:
    """Tell of each write that takes an Idempotency-Key what that can lead to."""
    conflict = {**_response(409), "headers": _RETRY_AFTER}
    schema = {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}
    del conflict["model"]
    conflict["content"] = {"application/json": {**schema, **conflict["content"]["application/json"]}}
    for path in document["paths"].values():
        for operation in path.values():
            names = {parameter["name"] for parameter in operation.get("parameters", ())}
            if HEADER not in names:
                continue
            operation["responses"].setdefault("409", conflict)
            for status, answer in operation["responses"].items():
                if status in ("200", "201"):
                    answer.setdefault("headers", {})[REPLAYED] = {
                        "description": "`true`: the answer of an earlier request with the same Idempotency-Key.",
                        "schema": {"type": "string", "const": "true"},
                    }
    return document


def _without_framework_validation(document: dict[str, Any]) -> dict[str, Any]:
    """Take out FastAPI's own 422: a request that does not fit is our 400."""
    for path in document["paths"].values():
        for operation in path.values():
            answer = operation.get("responses", {}).get("422", {})
            schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
            if schema.get("$ref", "").endswith("/HTTPValidationError"):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document
