"""A client of our HTTP API: events in batches, repeated until they are stored; meters and numbers."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Final

import aiohttp

from runtime.errors import MeterstreamError, PayloadTooLarge, Unavailable

MAX_EVENTS: Final = 1_000
MAX_BYTES: Final = 4_500_000
"""Below the API's own limit of 5 MB; the brackets and commas of the array count too."""
BATCH: Final = "application/cloudevents-batch+json"
ONE: Final = "application/cloudevents+json"

_REPEATABLE: Final = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
# Longer than the API itself waits for Kafka.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=5)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that was not taken; `index` is its place in the request."""

    index: int
    id: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class IngestAnswer:
    """What became of the events of a request."""

    accepted: int
    rejected: list[Rejected]


class ApiRefusal(MeterstreamError):
    """The API answered with an error that repeating does not mend; `status` is the HTTP number."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message, code=code, status=status, **{str(k): v for k, v in details.items() if k != "status"})
        self.status = status


class ApiClient:
    """Speaks for one API key. Use as `async with`; requests may run side by side.

    429, 503 and lost connections are repeated, after what Retry-After says, for `give_up_s`: an event that was stored
    without our hearing of it is then a duplicate, which counts once.
    """

    def __init__(self, url: str, key: str, *, give_up_s: float = 60.0) -> None:
        self._url = url.rstrip("/") + "/api/v1"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._give_up_s = give_up_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ApiClient:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send_events(self, bodies: Sequence[bytes]) -> IngestAnswer:
        """Send at most `MAX_EVENTS` events as they are; each must hold its own brackets together.

        Raises: Unavailable after `give_up_s`, ApiRefusal.
        """
        try:
            answer = await self._request("POST", "/events", b"[" + b",".join(bodies) + b"]", content_type=BATCH)
        except PayloadTooLarge:
            if len(bodies) == 1:
                raise
            return await self._send_halves(bodies)
        return IngestAnswer(int(answer["accepted"]), [Rejected(**rejected) for rejected in answer["rejected"]])

    async def send_event(self, body: bytes) -> IngestAnswer:
        """Send one event in a request of its own, whatever its bytes are. Raises: as `send_events`."""
        try:
            answer = await self._request("POST", "/events", body, content_type=ONE)
        except ApiRefusal as refusal:
            if refusal.status != 400:
                raise
            return IngestAnswer(0, [Rejected(0, refusal.details.get("id"), refusal.code, refusal.message)])
        return IngestAnswer(int(answer["accepted"]), [])

    async def get(self, path: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:
        """Return the answer to a GET; fractions are Decimal. Raises: as `send_events`."""
        return await self._request("GET", path, parameters=parameters)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a POST of JSON. Raises: as `send_events`."""
        return await self._request("POST", path, json.dumps(body).encode(), content_type="application/json")

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a PATCH of JSON. Raises: as `send_events`."""
        return await self._request("PATCH", path, json.dumps(body).encode(), content_type="application/json")

    async def _send_halves(self, bodies: Sequence[bytes]) -> IngestAnswer:
        middle = len(bodies) // 2
        first, second = await self.send_events(bodies[:middle]), await self.send_events(bodies[middle:])
        later = [Rejected(r.index + middle, r.id, r.code, r.message) for r in second.rejected]
        return IngestAnswer(first.accepted + second.accepted, [*first.rejected, *later])

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str | None = None,
        parameters: Sequence[tuple[str, str]] = (),
    ) -> Any:
        assert self._session is not None
        headers = {} if content_type is None else {"Content-Type": content_type}
        deadline, pause_s = time.monotonic() + self._give_up_s, _FIRST_PAUSE_S
        while True:
            try:
                async with self._session.request(
                    method, self._url + path, data=body, headers=headers, params=list(parameters)
                ) as response:
                    if response.status not in _REPEATABLE:
                        return _read(response.status, await response.read())
                    problem = f"it answers {response.status}"
                    asked_s = _retry_after_s(response.headers.get("Retry-After", ""))
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                problem, asked_s = str(exc) or type(exc).__name__, 0.0
            wait_s = max(asked_s, pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, keeps no secret
            if time.monotonic() + wait_s > deadline:
                raise Unavailable(f"The API at {self._url} does not take the request: {problem}.")
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _retry_after_s(value: str) -> float:
    """Read seconds; a date, which our API never sends, counts as nothing."""
    return float(value) if value.isdigit() else 0.0


def _read(status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content, parse_float=Decimal) if content else {}
    except ValueError:
        answer = {}
    if status < 400:
        return answer
    error = answer.get("error", {}) if isinstance(answer, dict) else {}
    message = str(error.get("message", f"HTTP {status}"))
    if status == 413:
        raise PayloadTooLarge(message)
    raise ApiRefusal(status, str(error.get("code", f"HTTP_{status}")), message, error.get("details", {}))
