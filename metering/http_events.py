"""What an event must be to be taken over HTTP: all that the log asks, and no ambiguity left in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from metering import exact_json
from metering.events import MAX_EVENT_BYTES, UsageEvent, load_body, read_envelope
from metering.numbers import INTEGER_DIGITS, InvalidQuantity, parse_quantity
from metering.rejections import Code, Rejection
from metering.times import HTTP_LIMITS

_SPACE: Final = b" \t\r\n"
_MARKS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{},]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class HttpEvent:
    """An event that may be produced: `body` is what came, with what the sender was allowed to leave out put in."""

    event: UsageEvent
    body: bytes


def check_for_http(
    raw: bytes, *, organization: str, now_ms: int, fallback_id: str | None = None, plain: bool = False
) -> HttpEvent | Rejection:
    """Check one event of a request.

    Stricter than the log: a name said twice anywhere and a number in `data` beyond the number rule are refused, and
    the time limits are 60 s tighter. A missing id becomes `fallback_id` where there is one; with `plain`
    (`application/json`) a missing specversion becomes "1.0" and a missing source "http". What is filled in is
    written into the body, since the log's readers know no defaults. A missing time stays missing: it is the arrival.
    """
    body = load_body(raw)
    if isinstance(body, Rejection):
        return body
    defaults: dict[str, str | None] = {"id": fallback_id}
    if plain:
        defaults |= {"specversion": "1.0", "source": "http"}
    filled = {name: value for name, value in defaults.items() if value is not None and body.get(name) is None}
    event = read_envelope(body | filled, organization=organization, arrival_ms=now_ms, limits=HTTP_LIMITS)
    if isinstance(event, Rejection):
        return event
    problem = _doubt_in(body)
    if problem is not None:
        return Rejection(*problem, event.id)
    try:
        produced = _fill_in(raw, filled) if filled else raw
    except msgspec.DecodeError:  # stricter than Python's reader in this one point
        return Rejection(Code.INVALID_JSON, "a text holds a lone surrogate", event.id)
    if len(produced) > MAX_EVENT_BYTES:
        return Rejection(Code.TOO_LARGE, f"completed, the event has more than {MAX_EVENT_BYTES} bytes", event.id)
    return HttpEvent(event, produced)


def split_batch(raw: bytes) -> list[bytes]:
    """Cut a JSON array into the bytes of its elements, each to be checked alone: a bad one spoils no other.

    Raises: exact_json.InvalidJson where the array itself does not hold together.
    """
    try:
        return [bytes(item) for item in msgspec.json.decode(raw, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError):
        return _split_by_commas(raw)


def _split_by_commas(raw: bytes) -> list[bytes]:
    raw = raw.strip(_SPACE)
    if raw[:1] != b"[" or raw[-1:] != b"]" or len(raw) < 2:
        raise exact_json.InvalidJson("a batch is a JSON array")
    items, depth, start = [], 0, 1
    for token in _MARKS.finditer(raw):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == 0 and token.end() != len(raw):
                raise exact_json.InvalidJson("the array ends before the body does")
        elif mark == b"," and depth == 1:
            items.append(raw[start : token.start()].strip(_SPACE))
            start = token.end()
        elif mark == b'"':
            raise exact_json.InvalidJson("a quote is never closed")
    if depth != 0:
        raise exact_json.InvalidJson("brackets do not match")
    return [*items, raw[start:-1].strip(_SPACE)]


def _fill_in(raw: bytes, filled: dict[str, str]) -> bytes:
    """Write defaults into a body without touching the other values' bytes."""
    members: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(members | filled)


def _doubt_in(body: dict[str, Any]) -> tuple[Code, str] | None:
    """Find a name said twice anywhere, or a number beyond the rule in `data`, in one walk: every event pays for it."""
    for name, value in body.items():
        if value is exact_json.DUPLICATE:
            return Code.DUPLICATE_NAME, f"the event says {name[:64]!r} twice"
        if isinstance(value, dict | list) and (doubt := _doubt_within(value, in_data=name == "data")) is not None:
            return doubt
    return None


def _doubt_within(root: dict[str, Any] | list[Any], *, in_data: bool) -> tuple[Code, str] | None:
    pending = [root]
    while pending:
        node = pending.pop()
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, str):
                continue
            if isinstance(value, dict | list):
                pending.append(value)
            elif value is exact_json.DUPLICATE:
                return Code.DUPLICATE_NAME, f"{str(name)[:64]!r} is said twice in one object"
            elif in_data and (problem := _number_problem(value)) is not None:
                return Code.INVALID_NUMBER, f"a number in data has {problem}"
    return None


def _number_problem(value: object) -> str | None:
    if isinstance(value, exact_json.UnreadableNumber):
        return "an exponent beyond reason"
    if not isinstance(value, Decimal):
        return None
    text = str(value)
    if len(text) <= INTEGER_DIGITS and "E" not in text:  # nearly all: too short to break the rule
        return None
    try:
        parse_quantity(value)
    except InvalidQuantity as exc:
        return str(exc)
    return None
