"""Takes a request body apart into events without changing a byte of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException

from metering.exact_json import InvalidJson
from metering.http_events import split_batch
from metering.texts import MAX_TEXT, text_problem
from runtime.errors import InvalidInput, PayloadTooLarge

ONE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
PLAIN: Final = "application/json"

_SPACE: Final = b" \t\n\r"
# Room for "#" and the index of 1,000,000 events.
_MAX_IDEMPOTENCY_KEY: Final = MAX_TEXT - 7


@dataclass(frozen=True, slots=True)
class EventRequest:
    """The events of a request, as they came."""

    bodies: list[bytes]
    is_batch: bool
    """An array came, though perhaps of one."""
    plain: bool
    """`application/json`: specversion and source may be missing."""


def read_events(body: bytes, content_type: str, *, max_events: int) -> EventRequest:
    """Cut the events out of a body.

    Raises: HTTPException 415, InvalidInput for what is neither an object nor an array, PayloadTooLarge.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (ONE, BATCH, PLAIN):
        raise HTTPException(415, f"Content-Type {kind[:80]!r}: send {ONE}, {BATCH} or {PLAIN}.")
    text = body.strip(_SPACE)
    if not text:
        raise InvalidInput("The body is empty: send a JSON object, or an array of them.", field="body")
    is_batch = text.startswith(b"[")
    if not is_batch and not text.startswith(b"{"):
        raise InvalidInput("The body must be a JSON object, or an array of them.", field="body")
    if kind == ONE and is_batch:
        raise InvalidInput(f"{ONE} is one event; an array is {BATCH}.", field="body")
    if kind == BATCH and not is_batch:
        raise InvalidInput(f"{BATCH} is an array of events; one event is {ONE}.", field="body")
    bodies = _elements(text) if is_batch else [text]
    if len(bodies) > max_events:
        raise PayloadTooLarge(f"At most {max_events} events per request; send several.", limit=max_events)
    return EventRequest(bodies, is_batch, kind == PLAIN)


def read_idempotency_key(value: str | None) -> str | None:
    """Check the header. Raises: InvalidInput."""
    if value is None:
        return None
    problem = text_problem(value)
    if problem is None and len(value) > _MAX_IDEMPOTENCY_KEY:
        problem = f"must not be longer than {_MAX_IDEMPOTENCY_KEY} characters"
    if problem is not None:
        raise InvalidInput(f"Idempotency-Key {problem}", field="Idempotency-Key")
    return value


def _elements(text: bytes) -> list[bytes]:
    try:
        return split_batch(text)
    except InvalidJson as exc:
        raise InvalidInput(f"The body is not JSON: {exc}.", field="body") from exc
