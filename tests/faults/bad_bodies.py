"""Every kind of input that is no usable event, each with the code of the dead letter it must end as."""

from __future__ import annotations

import json
from typing import Any

from metering.rejections import Code

_GOOD = {"specversion": "1.0", "id": "bad", "source": "s", "type": "request", "subject": "c", "organization": "acme"}


def _event(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**_GOOD, **changes}.items() if value is not ...}).encode()


BAD_BODIES: list[tuple[bytes | None, Code]] = [
    (None, Code.EMPTY_RECORD),
    (b"", Code.EMPTY_RECORD),
    (b"\x00" * 40, Code.INVALID_JSON),
    (b"{", Code.INVALID_JSON),
    (_event()[:-3], Code.INVALID_JSON),
    (_event().replace(b'"bad"', b'"\xff\xfe"'), Code.INVALID_JSON),
    (b"\xef\xbb\xbf" + _event(), Code.INVALID_JSON),
    (_event(data={"tokens": float("nan")}), Code.INVALID_JSON),
    (_event(data={"tokens": float("-inf")}), Code.INVALID_JSON),
    (_event() + b"\n" + _event(), Code.INVALID_JSON),
    (b"[1]", Code.NOT_AN_OBJECT),
    (b'"text"', Code.NOT_AN_OBJECT),
    (b'{"a":' * 60 + b"1" + b"}" * 60, Code.TOO_DEEP),
    (b"[" * 100_000, Code.TOO_DEEP),
    (_event(data={"pad": "x" * 1_000_000}), Code.TOO_LARGE),
    (_event()[:-1] + b',"id":"other"}', Code.DUPLICATE_NAME),
    (_event(id=...), Code.MISSING_FIELD),
    (_event(subject=None), Code.MISSING_FIELD),
    (_event(source=""), Code.INVALID_FIELD),
    (_event(id="x" * 257), Code.INVALID_FIELD),
    (_event(id="a\x00b"), Code.INVALID_FIELD),
    (_event(subject=["c"]), Code.INVALID_FIELD),
    (_event(id="\ud800"), Code.INVALID_FIELD),
    (_event(specversion="0.3"), Code.INVALID_FIELD),
    (_event(data=[1]), Code.INVALID_FIELD),
    (_event(type="meterstream.void"), Code.RESERVED_TYPE),
    (_event(time="2026-11-23"), Code.INVALID_TIME),
    (_event(time="2026-11-23T10:00:00"), Code.INVALID_TIME),
    (_event(time=1_780_000_000), Code.INVALID_TIME),
    (_event(time="2020-01-01T00:00:00Z"), Code.TIME_TOO_OLD),
    (_event(time="2099-01-01T00:00:00+01:00"), Code.TIME_TOO_NEW),
    (_event(organization=...), Code.MISSING_ORGANIZATION),
]
"""Rejected wherever they land: what is read before an event's home is asked for."""

HUGE_BODY = _event(data={"pad": "x" * 10_000_000})
"""10 MB: TOO_LARGE, of which the dead letter keeps the first 64 KB."""
