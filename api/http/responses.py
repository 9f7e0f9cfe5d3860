"""Answers as JSON in which a number is exactly the number that is meant, and requests read in the same way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from metering import exact_json

_JSON = msgspec.json.Encoder(decimal_format="number")


def json_answer(content: Any, *, status: int = 200) -> Response:
    """Return `content` as JSON; Decimals become numbers, digit for digit."""
    if isinstance(content, BaseModel):
        content = content.model_dump()
    return Response(_JSON.encode(content), status_code=status, media_type="application/json")


class ExactRoute(APIRoute):
    """A route whose JSON body is read with numbers as Decimal: a float has lost what was written."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given requests that read exactly."""
        handle = super().get_route_handler()

        async def handle_exactly(request: Request) -> Response:
            return await handle(_ExactRequest(request.scope, request.receive))

        return handle_exactly


class RawRoute(APIRoute):
    """A route whose function reads the request itself: what it is declared with is documentation."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function."""
        return self.endpoint


class UnreadableBody:
    """Stands for a body that is not JSON: no model takes it, and whoever asks is told only once they are known."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _ExactRequest(Request):
    async def json(self) -> Any:
        try:
            return exact_json.loads(await self.body())
        except exact_json.InvalidJson as exc:
            return UnreadableBody(str(exc))
