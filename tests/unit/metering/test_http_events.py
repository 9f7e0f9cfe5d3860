"""What HTTP takes: all that the log takes, and less; never more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.events import MAX_EVENT_BYTES, UsageEvent, parse_event
from metering.exact_json import InvalidJson
from metering.http_events import HttpEvent, check_for_http, split_batch
from metering.rejections import Code, Rejection
from tests.unit.metering.builders import ARRIVAL_MS, body, raw_event

ARRIVAL = datetime.fromtimestamp(ARRIVAL_MS / 1000, UTC)


def check(raw: bytes, **options: Any) -> HttpEvent | Rejection:
    return check_for_http(raw, organization="acme", now_ms=ARRIVAL_MS, **options)


def code(raw: bytes, **options: Any) -> Code:
    rejection = check(raw, **options)
    assert isinstance(rejection, Rejection), rejection
    return rejection.code


def accepted(raw: bytes, **options: Any) -> HttpEvent:
    taken = check(raw, **options)
    assert isinstance(taken, HttpEvent), taken
    return taken


def test_a_complete_event_is_produced_as_it_came() -> None:
    raw = raw_event(data={"n": "1.50"}) + b"  "
    assert accepted(raw, fallback_id="k#0", plain=True).body is raw


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"a":1,"a":1}', Code.DUPLICATE_NAME),
        ('{"l":[{"x":{"a":1,"a":2}}]}', Code.DUPLICATE_NAME),
        ('{"n":1000000000000000}', Code.INVALID_NUMBER),
        ('{"l":[[{"n":0.0000000000000000001}]]}', Code.INVALID_NUMBER),
        ('{"n":1e999999999999999999999}', Code.INVALID_NUMBER),
        ("[]", Code.INVALID_FIELD),
    ],
)
def test_data_leaves_nothing_open(data: str, expected: Code) -> None:
    assert code(raw_event(data="DATA").replace(b'"DATA"', data.encode())) is expected


def test_not_even_an_unread_attribute_may_be_said_twice() -> None:
    assert code(raw_event()[:-1] + b',"extra":1,"extra":1}') is Code.DUPLICATE_NAME
    assert code(raw_event(extra={"a": [{"b": "DATA"}]}).replace(b'"DATA"', b'1,"b":2')) is Code.DUPLICATE_NAME


def test_the_credential_decides_the_organization() -> None:
    assert accepted(raw_event(organization="acme")).event.organization == "acme"
    assert code(raw_event(organization="other")) is Code.ORGANIZATION_MISMATCH


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (timedelta(days=-35, seconds=60), None),
        (timedelta(days=-35, seconds=59), Code.TIME_TOO_OLD),
        (timedelta(minutes=4), None),
        (timedelta(minutes=4, seconds=1), Code.TIME_TOO_NEW),
    ],
)
def test_times_are_a_minute_tighter(distance: timedelta, expected: Code | None) -> None:
    result = check(raw_event(time=(ARRIVAL + distance).isoformat()))
    assert (result.code if isinstance(result, Rejection) else None) is expected


def test_odd_names_survive_filling_in() -> None:
    odd = {'\x00"': "\x00", "": {"\\": 1}}
    assert json.loads(accepted(raw_event(id=..., **odd), fallback_id="k#0").body) == body(id="k#0", **odd)


@pytest.mark.parametrize("odd", [{"\ud800": 1}, {"a": "\ud800"}])
def test_a_lone_surrogate_is_no_text_to_write_back(odd: dict[str, Any]) -> None:
    assert code(raw_event(id=..., **odd), fallback_id="k#0") is Code.INVALID_JSON


@pytest.mark.parametrize(
    "items",
    [
        [],
        [b"{}"],
        [b'{"a":[1,{"b":"],{"}]}', b"7", b"null"],
        [b'{"a":"\\ud800,"}', raw_event()],
        [b"NaN", raw_event(), b"{'a',1}"],
        [b"[" * 5000 + b"]" * 5000, raw_event()],
    ],
)
def test_a_bad_event_spoils_no_other_of_its_batch(items: list[bytes]) -> None:
    assert split_batch(b" [" + b" ,\n".join(items) + b"]\n") == items


@pytest.mark.parametrize("raw", [b"", b"[", b"{}", b"NaN", b"[NaN", b"[{]", b'["]', b"[NaN][1]", b"[NaN]]", b"[[NaN]"])
def test_what_is_no_array_is_no_batch(raw: bytes) -> None:
    with pytest.raises(InvalidJson):
        split_batch(raw)


@pytest.mark.parametrize("missing", [..., None])
def test_defaults_are_written_into_the_body(missing: Any) -> None:
    raw = raw_event(id=missing, specversion=missing, source=missing, data={"n": "DATA"})
    raw = raw.replace(b'"DATA"', b"1.500e1")
    taken = accepted(raw, fallback_id="key#3", plain=True)
    assert (taken.event.id, taken.event.source) == ("key#3", "http")
    assert b"1.500e1" in taken.body
    assert json.loads(taken.body) == {**json.loads(raw), "id": "key#3", "source": "http", "specversion": "1.0"}
    assert parse_event(taken.body, organization="acme", arrival_ms=ARRIVAL_MS) == taken.event


def test_without_leave_nothing_is_filled_in() -> None:
    assert code(raw_event(id=...), plain=True) is Code.MISSING_FIELD
    assert code(raw_event(source=...), fallback_id="k#0") is Code.MISSING_FIELD
    assert code(raw_event(id=...), fallback_id="k" * 257) is Code.INVALID_FIELD


def test_a_body_that_grows_too_large_is_refused() -> None:
    def compact(size: int) -> bytes:
        empty = json.dumps(body(id=..., data={"x": ""}), separators=(",", ":"))
        return empty.replace('"x":""', f'"x":"{"y" * (size - len(empty))}"').encode()

    addition = len(b',"id":"k#0"')
    assert len(accepted(compact(MAX_EVENT_BYTES - addition), fallback_id="k#0").body) == MAX_EVENT_BYTES
    assert code(compact(MAX_EVENT_BYTES - addition + 1), fallback_id="k#0") is Code.TOO_LARGE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from(["specversion", "id", "source", "subject", "data", "extra", "\ud800"])


@given(st.dictionaries(names, json_values, max_size=4), st.booleans())
def test_what_http_takes_the_log_takes(changes: dict[str, Any], plain: bool) -> None:
    taken = check(raw_event(**changes), fallback_id="k#0", plain=plain)
    if isinstance(taken, HttpEvent):
        event = parse_event(taken.body, organization="acme", arrival_ms=ARRIVAL_MS)
        assert isinstance(event, UsageEvent)
        assert event == taken.event
