"""What a record of the log must be to be an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.events import (
    MAX_EVENT_BYTES,
    UsageEvent,
    parse_event,
    read_first_arrival,
    read_organization_header,
)
from metering.exact_json import DUPLICATE
from metering.rejections import Code, Rejection
from tests.unit.metering.builders import ARRIVAL_MS, raw_event

ARRIVAL = datetime.fromtimestamp(ARRIVAL_MS / 1000, UTC)


def parse(raw: bytes | None, organization: str | None = "acme") -> UsageEvent | Rejection:
    return parse_event(raw, organization=organization, arrival_ms=ARRIVAL_MS)


def code(raw: bytes | None, organization: str | None = "acme") -> Code:
    rejection = parse(raw, organization)
    assert isinstance(rejection, Rejection), rejection
    assert rejection.message
    return rejection.code


def accepted(raw: bytes, organization: str | None = "acme") -> UsageEvent:
    event = parse(raw, organization)
    assert isinstance(event, UsageEvent), event
    return event


def test_reads_every_attribute() -> None:
    raw = b"""{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"c","time":"2026-11-23T10:00:00.5Z",
        "data":{"n":1.10,"list":[1e2,"x",null]},"authorization":"hold-1","dataschema":"x","traceparent":{"a":[1]}}"""
    assert accepted(raw) == UsageEvent(
        organization="acme",
        id="1",
        source="s",
        type="t",
        subject="c",
        time_us=ARRIVAL_MS * 1000 + 500_000,
        data={"n": Decimal("1.1"), "list": [Decimal(100), "x", None]},
        authorization="hold-1",
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, Code.EMPTY_RECORD),
        (b"", Code.EMPTY_RECORD),
        (b" " * (MAX_EVENT_BYTES + 1), Code.TOO_LARGE),
        (b'{"a":' * 33, Code.TOO_DEEP),
        (b"[" * 100_000, Code.TOO_DEEP),
        (b"{", Code.INVALID_JSON),
        (b"\xff\xfe", Code.INVALID_JSON),
        (b"\xef\xbb\xbf" + raw_event(), Code.INVALID_JSON),
        (raw_event(data={"x": float("nan")}), Code.INVALID_JSON),
        (raw_event(data={"x": float("-inf")}), Code.INVALID_JSON),
        (b"[]", Code.NOT_AN_OBJECT),
        (b"null", Code.NOT_AN_OBJECT),
        (raw_event()[:-1] + b',"id":"e-1"}', Code.DUPLICATE_NAME),
        (raw_event()[:-1] + rb',"\u0069d":"e-1"}', Code.DUPLICATE_NAME),
        (raw_event()[:-1] + b',"data":null}', Code.DUPLICATE_NAME),
        (raw_event(data_base64="AA=="), Code.INVALID_FIELD),
    ],
)
def test_refuses_what_is_no_event(raw: bytes | None, expected: Code) -> None:
    assert code(raw) is expected


def test_a_name_that_nobody_reads_may_be_said_twice() -> None:
    assert accepted(raw_event()[:-1] + b',"extra":1,"extra":1}').id == "e-1"


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "subject"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (..., Code.MISSING_FIELD),
        (None, Code.MISSING_FIELD),
        ("", Code.INVALID_FIELD),
        (7, Code.INVALID_FIELD),
        (True, Code.INVALID_FIELD),
        (["x"], Code.INVALID_FIELD),
        ("x" * 257, Code.INVALID_FIELD),
        ("a\x00b", Code.INVALID_FIELD),
        ("a\nb", Code.INVALID_FIELD),
        ("a\x7f", Code.INVALID_FIELD),
        ("a\x85", Code.INVALID_FIELD),
        ("\ud800", Code.INVALID_FIELD),
    ],
)
def test_names_are_short_plain_text(name: str, value: Any, expected: Code) -> None:
    assert code(raw_event(**{name: value})) is expected


def test_256_characters_are_not_257_nor_bytes() -> None:
    assert accepted(raw_event(id="😀" * 256)).id == "😀" * 256


def test_specversion_is_one() -> None:
    assert code(raw_event(specversion="0.3")) is Code.INVALID_FIELD


@pytest.mark.parametrize("event_type", ["meterstream.", "meterstream.void"])
def test_our_types_are_reserved(event_type: str) -> None:
    assert code(raw_event(type=event_type)) is Code.RESERVED_TYPE
    assert accepted(raw_event(type="meterstreams")).type == "meterstreams"


@pytest.mark.parametrize("data", [..., None, {}])
def test_data_may_be_missing(data: Any) -> None:
    assert accepted(raw_event(data=data)).data == {}


@pytest.mark.parametrize("data", [[], "x", 5, False])
def test_data_is_an_object(data: Any) -> None:
    assert code(raw_event(data=data)) is Code.INVALID_FIELD


def test_a_name_said_twice_in_data_costs_only_that_value() -> None:
    raw = raw_event(data="DATA").replace(b'"DATA"', b'{"a":1,"a":1,"b":2}')
    assert accepted(raw).data == {"a": DUPLICATE, "b": Decimal(2)}


@pytest.mark.parametrize("time", [..., None])
def test_time_defaults_to_the_arrival(time: Any) -> None:
    assert accepted(raw_event(time=time)).time_us == ARRIVAL_MS * 1000


@pytest.mark.parametrize("time", [1_795_428_000, "now", "2026-11-23T10:00:00", "", True, {}])
def test_time_is_rfc_3339(time: Any) -> None:
    assert code(raw_event(time=time)) is Code.INVALID_TIME


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (timedelta(days=-35), None),
        (timedelta(days=-35, microseconds=-1), Code.TIME_TOO_OLD),
        (timedelta(minutes=5), None),
        (timedelta(minutes=5, microseconds=1), Code.TIME_TOO_NEW),
    ],
)
def test_times_are_near_the_arrival_both_ends_included(distance: timedelta, expected: Code | None) -> None:
    result = parse(raw_event(time=(ARRIVAL + distance).isoformat()))
    assert (result.code if isinstance(result, Rejection) else None) is expected


def test_the_organization_is_the_headers_or_the_bodys_or_the_default() -> None:
    named = raw_event(organization="acme")
    assert accepted(named, None).organization == "acme"
    assert accepted(named, "acme").organization == "acme"
    assert code(named, "other") is Code.ORGANIZATION_MISMATCH
    assert code(raw_event(), None) is Code.MISSING_ORGANIZATION
    assert code(raw_event(organization=""), None) is Code.INVALID_FIELD
    defaulted = parse_event(raw_event(), organization=None, arrival_ms=ARRIVAL_MS, default_organization="house")
    assert isinstance(defaulted, UsageEvent)
    assert defaulted.organization == "house"


@pytest.mark.parametrize("authorization", [5, "", "x" * 257])
def test_authorization_is_text(authorization: Any) -> None:
    assert code(raw_event(authorization=authorization)) is Code.INVALID_FIELD


def test_a_rejection_names_the_event_where_it_can() -> None:
    rejection = parse(raw_event(subject=""))
    assert isinstance(rejection, Rejection)
    assert rejection.event_id == "e-1"
    unnamed = parse(raw_event(subject="", id=5))
    assert isinstance(unnamed, Rejection)
    assert unnamed.event_id is None


def test_headers() -> None:
    assert read_organization_header(None) is None
    assert read_organization_header(b"acme") == "acme"
    for wrong in (b"", b"\xff", b"a\x00", b"x" * 257):
        rejection = read_organization_header(wrong)
        assert isinstance(rejection, Rejection)
        assert rejection.code is Code.INVALID_HEADER
    assert read_first_arrival(None, 7) == 7
    assert read_first_arrival(b"1795428000000", 7) == 1_795_428_000_000
    for wrong in (b"", b"-1", b"1.5", b" 1", b"1" * 16, "١".encode()):
        assert isinstance(read_first_arrival(wrong, 7), Rejection)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
attributes = st.sampled_from(
    ["specversion", "id", "source", "type", "subject", "time", "data", "organization", "authorization", "data_base64"]
)


@given(st.dictionaries(attributes, json_values, max_size=3), st.none() | st.just("acme"))
def test_any_document_is_an_event_or_a_rejection(changes: dict[str, Any], organization: str | None) -> None:
    assert isinstance(parse(raw_event(**changes), organization), UsageEvent | Rejection)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_rejection(raw: bytes) -> None:
    assert isinstance(parse(raw), Rejection)


@given(st.data())
def test_broken_events_are_never_an_exception(data: st.DataObject) -> None:
    raw = bytearray(raw_event())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(parse(bytes(raw)), UsageEvent | Rejection)
