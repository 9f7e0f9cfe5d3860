"""Usage events: CloudEvents 1.0 in JSON, read exactly, event by event. Faster readers must agree with this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from metering import exact_json
from metering.records import FIRST_ARRIVAL_HEADER, ORGANIZATION_HEADER
from metering.rejections import Code, Rejection
from metering.texts import text_problem
from metering.times import LOG_LIMITS, InvalidTime, TimeLimits, parse_time

MAX_EVENT_BYTES: Final = 1_000_000
RESERVED_TYPE_PREFIX: Final = "meterstream."
ATTRIBUTES: Final = (
    "specversion", "id", "source", "type", "subject", "time", "organization", "authorization", "data", "data_base64",
)  # fmt: skip
"""What is read of an event; other attributes are ignored, whatever they say."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event whose envelope holds; `data` as `metering.exact_json` reads it (numbers are Decimal)."""

    organization: str
    """The organization's slug."""
    id: str
    source: str
    type: str
    subject: str
    time_us: int
    """UTC, µs since 1970; finer digits are cut."""
    data: Mapping[str, Any] = field(default_factory=dict)
    authorization: str | None = None


class _Refused(Exception):  # never leaves this module: it carries the rejection out of the checks
    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_organization_header(value: bytes | None) -> str | Rejection | None:
    """Read the record header `organization`; None where there is no header."""
    if value is None:
        return None
    try:
        slug = value.decode()
    except UnicodeDecodeError:
        return Rejection(Code.INVALID_HEADER, f"the header `{ORGANIZATION_HEADER}` is not UTF-8")
    problem = text_problem(slug)
    if problem is not None:
        return Rejection(Code.INVALID_HEADER, f"the header `{ORGANIZATION_HEADER}` {problem}")
    return slug


def read_first_arrival(value: bytes | None, arrival_ms: int) -> int | Rejection:
    """Return the arrival that decides: a forwarded record's first one (its header), else the broker's stamp."""
    if value is None:
        return arrival_ms
    if not value.isdigit() or len(value) > 15:
        return Rejection(Code.INVALID_HEADER, f"the header `{FIRST_ARRIVAL_HEADER}` is no time in ms since 1970")
    return int(value)


def parse_event(
    raw: bytes | None,
    *,
    organization: str | None,
    arrival_ms: int,
    limits: TimeLimits = LOG_LIMITS,
    default_organization: str | None = None,
) -> UsageEvent | Rejection:
    """Read a record of the log.

    `organization` is the record header's; without it the body's extension counts, then `default_organization`.
    Attributes that are null are absent, as CloudEvents has it. An attribute in ATTRIBUTES said twice refuses the event;
    inside `data` its value becomes `exact_json.DUPLICATE`, which only the meters that read it cannot use.
    """
    body = load_body(raw)
    if isinstance(body, Rejection):
        return replace(body, organization=organization or default_organization)
    return read_envelope(
        body, organization=organization, arrival_ms=arrival_ms, limits=limits, default_organization=default_organization
    )


def load_body(raw: bytes | None) -> dict[str, Any] | Rejection:
    """Decode the JSON object of an event."""
    if not raw:
        return Rejection(Code.EMPTY_RECORD, "the record has no value")
    if len(raw) > MAX_EVENT_BYTES:
        return Rejection(Code.TOO_LARGE, f"the event has {len(raw)} bytes; at most {MAX_EVENT_BYTES} are allowed")
    try:
        body = exact_json.loads(raw)
    except exact_json.TooDeep as exc:
        return Rejection(Code.TOO_DEEP, str(exc))
    except exact_json.InvalidJson as exc:
        return Rejection(Code.INVALID_JSON, str(exc))
    if not isinstance(body, dict):
        return Rejection(Code.NOT_AN_OBJECT, "an event is a JSON object")
    return body


def read_envelope(
    body: dict[str, Any],
    *,
    organization: str | None,
    arrival_ms: int,
    limits: TimeLimits,
    default_organization: str | None = None,
) -> UsageEvent | Rejection:
    """Check the attributes of a decoded event and gather them."""
    try:
        _refuse_duplicate_names(body)
        _check_specversion(body)
        event_id, source = _required_text(body, "id"), _required_text(body, "source")
        event_type, subject = _type(body), _required_text(body, "subject")
        return UsageEvent(
            organization=_organization(body, organization, default_organization),
            id=event_id,
            source=source,
            type=event_type,
            subject=subject,
            time_us=_time_us(body, arrival_ms, limits),
            data=_data(body),
            authorization=_optional_text(body, "authorization"),
        )
    except _Refused as refused:
        owner = organization or _readable(body, "organization") or default_organization
        return Rejection(refused.code, refused.message, readable_id(body), owner)


def readable_id(body: Mapping[str, Any]) -> str | None:
    """Return the id of an event that is refused for another reason, if it has a usable one."""
    return _readable(body, "id")


def _readable(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and text_problem(value) is None else None


def _refuse_duplicate_names(body: dict[str, Any]) -> None:
    for name in ATTRIBUTES:
        if body.get(name) is exact_json.DUPLICATE:
            raise _Refused(Code.DUPLICATE_NAME, f"the event says {name!r} twice")


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    problem = text_problem(value)
    if problem is not None:
        raise _Refused(Code.INVALID_FIELD, f"{name} {problem}")
    assert isinstance(value, str)
    return value


def _required_text(body: dict[str, Any], name: str) -> str:
    value = _optional_text(body, name)
    if value is None:
        raise _Refused(Code.MISSING_FIELD, f"{name} is missing")
    return value


def _check_specversion(body: dict[str, Any]) -> None:
    if _required_text(body, "specversion") != "1.0":
        raise _Refused(Code.INVALID_FIELD, 'specversion must be "1.0"')


def _type(body: dict[str, Any]) -> str:
    event_type = _required_text(body, "type")
    if event_type.startswith(RESERVED_TYPE_PREFIX):
        raise _Refused(Code.RESERVED_TYPE, f"types that begin with {RESERVED_TYPE_PREFIX!r} are reserved")
    return event_type


def _organization(body: dict[str, Any], given: str | None, default: str | None) -> str:
    named = _optional_text(body, "organization")
    if given is not None and named is not None and given != named:
        raise _Refused(Code.ORGANIZATION_MISMATCH, f"the body names organization {named!r}, the sender is {given!r}")
    slug = given or named or default
    if slug is None:
        raise _Refused(Code.MISSING_ORGANIZATION, "no organization in header or body, and no default")
    return slug


def _time_us(body: dict[str, Any], arrival_ms: int, limits: TimeLimits) -> int:
    text = body.get("time")
    if text is None:
        return arrival_ms * 1000
    if not isinstance(text, str):
        raise _Refused(Code.INVALID_TIME, "time must be a string")
    try:
        time_us = parse_time(text)
    except InvalidTime as exc:
        raise _Refused(Code.INVALID_TIME, f"time: {exc}") from exc
    if time_us < (arrival_ms - limits.past_ms) * 1000:
        raise _Refused(Code.TIME_TOO_OLD, f"time is more than {limits.past_ms // 1000} s before the arrival")
    if time_us > (arrival_ms + limits.future_ms) * 1000:
        raise _Refused(Code.TIME_TOO_NEW, f"time is more than {limits.future_ms // 1000} s after the arrival")
    return time_us


def _data(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("data_base64") is not None:
        raise _Refused(Code.INVALID_FIELD, "data_base64 is not read; data must be a JSON object")
    data = body.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _Refused(Code.INVALID_FIELD, "data must be an object")
    return data
