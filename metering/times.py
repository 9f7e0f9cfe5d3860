"""RFC 3339 times as UTC microseconds, and how far a time may be from the arrival."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

_DAY_S: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


class InvalidTime(ValueError):
    """The text is no RFC 3339 time with a zone; the text of the error says why."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How far an event's time may lie from its arrival, both ends included."""

    past_ms: int
    future_ms: int


LOG_LIMITS: Final = TimeLimits(past_ms=35 * _DAY_S * 1000, future_ms=5 * 60_000)
HTTP_LIMITS: Final = TimeLimits(past_ms=LOG_LIMITS.past_ms - 60_000, future_ms=LOG_LIMITS.future_ms - 60_000)
"""60 s tighter at both ends: what HTTP accepted is still in time when the broker stamps it."""


def parse_time(text: str) -> int:
    """Return µs since 1970 in UTC; digits beyond the microsecond are cut.

    `T` may be `t` or a space, `Z` may be `z`; `-00:00` is UTC. The leap second 23:59:60 UTC is the first second of the
    next day, as POSIX counts; any other second 60 is refused.

    Raises: InvalidTime.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidTime("expected RFC 3339 with a zone, such as 2026-01-31T23:59:59.5Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError as exc:
        raise InvalidTime(str(exc)) from exc
    if hour > 23 or minute > 59 or second > 60:
        raise InvalidTime("the time of day is out of range")
    seconds = days * _DAY_S + hour * 3600 + minute * 60 + second
    if sign is not None:
        seconds -= _offset_s(sign, int(offset_hour), int(offset_minute))
    if second == 60 and seconds % _DAY_S != 0:
        raise InvalidTime("second 60 exists only at 23:59:60 UTC")
    return seconds * 1_000_000 + (int(fraction[:6].ljust(6, "0")) if fraction else 0)


def _offset_s(sign: str, hour: int, minute: int) -> int:
    if hour > 23 or minute > 59:
        raise InvalidTime("the offset is out of range")
    offset_s = hour * 3600 + minute * 60
    return -offset_s if sign == "-" else offset_s
