"""Records that producers should not send, and now and then do."""
# ruff: noqa: E501  # tables of values read better wide

from __future__ import annotations

from hypothesis import strategies as st

from metering.meters import Meter
from metering.recount import LogRecord
from tests.unit.metering.builders import ARRIVAL_MS, meter

NUMBERS = (
    b"0", b"-0", b"1", b"-1", b"7", b"42", b"1.0", b"1.5", b"-2.25", b"0.000000001", b"1e3", b"1E-3", b"12.50", b"1e-10",
    b"0.123456789012345678", b"0.1234567890123456789", b"999999999999999", b"1000000000000000", b"-1000000000000000",
    b"999999999999999.999999999", b"9223372036854775807", b"9223372036854775808", b"123456789012345678901234567890",
    b"1e14", b"1e15", b"1e20", b"1e400", b"-1e-400", b"0e-99", b"0e99", b"0e-999999999", b"1e-2147483647",
    b"1e99999999999999999999", b"01", b"+1", b".5", b"5.", b"-", b"1e", b"0x10", b"NaN", b"-Infinity", b"Infinity", b"Inf",
)  # fmt: skip
TEXTS = (
    b'""', b'"a"', b'"b"', b'"1"', b'"1.50"', b'"-0"', b'"1e2"', b'"+1"', b'".5"', b'"5."', b'"007"', b'"-01"', b'"0.5"',
    b'"5.e2"', b'"1e-2147483647"', b'"\\u0031"', b'"\\u002b1"', b'"\\u0000"', b'"a\\nb"', b'"a\\tb"', b'"a\\"b"', b'"a\\/b"',
    b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\\udc00\\ud800"', '"é"'.encode(), '"\u0085"'.encode(), b'"\x7f"', b'"\xff"',
    b'"\xed\xa0\x80"', b'"a\x00b"', b'"a\nb"', b'"a\tb"', b'"} {"', b'"}{"', b'"{["', b'"x: NaN"', b'":NaN"', b'"see Info"',
    b'"true"', b'"null"', b'"' + b"x" * 256 + b'"', b'"' + b"x" * 257 + b'"', b'"' + "é".encode() * 200 + b'"',
    b'"' + b"y" * 1025 + b'"', b'"2026-11-23T10:00:00Z"', b'"2026-11-23"', b'"meterstream.x"', b'"acme"', b'"request"',
)  # fmt: skip
OTHERS = (
    b"true", b"false", b"null", b"{}", b"[]", b"[1]", b'{"a":1}', b'{"a":{"b":2}}', b'{"a":1,"a":2}', b'{"b":[{"c":3}]}',
    b"[" * 31 + b"]" * 31, b"[" * 40 + b"]" * 40, b'{"x":' * 30 + b"1" + b"}" * 30, b"nul", b"tru", b"'a'", b"/* c */1",
)  # fmt: skip
TIMES = (
    b'"2026-11-23T10:00:00Z"', b'"2026-11-23T10:00:00.5Z"', b'"2026-11-23T10:00:00.123456Z"',
    b'"2026-11-23T10:00:00.1234567Z"', b'"2026-11-23T10:00:00.123456789Z"', b'"2026-11-23T10:00:00.1234567890Z"',
    b'"2026-11-23t10:00:00z"', b'"2026-11-23 10:00:00Z"', b'"2026-11-23T12:00:00+02:00"', b'"2026-11-23T10:00:00"',
    b'"2026-11-23T10:05:00Z"', b'"2026-11-23T10:05:00.000001Z"', b'"2026-10-19T10:00:00Z"',
    b'"2026-10-19T09:59:59.999999Z"', b'"2026-11-23T24:00:00Z"', b'"2026-11-23T09:60:00Z"', b'"2026-11-23T09:59:60Z"',
    b'"2026-11-31T10:00:00Z"', b'"2026-02-29T10:00:00Z"', b'"0000-01-01T00:00:00Z"', b'"2026-11-23T10:00:0/Z"',
    b'"2026-11-23T10:00:00,5Z"', b'"2026-11-23T10:00:00."', b"1795428000", b"null", b'""',
)  # fmt: skip

NUMBER = st.sampled_from(NUMBERS)
TEXT = st.sampled_from(TEXTS)
VALUE = st.one_of(NUMBER, TEXT, st.sampled_from(OTHERS))

METERS: tuple[Meter, ...] = (
    *(meter(name) for name in ("SUM", "COUNT", "AVG", "MIN", "MAX", "LATEST")),
    meter("UNIQUE_COUNT", value_property="$.user"),
    meter("SUM", id="grouped", group_by={"region": "$.region", "user": "$.user"}),
    meter("MAX", id="nested", value_property="$.usage.total", group_by={"deep": "$.usage.kind"}),
    meter("SUM", id="array", value_property="$.parts[0].size"),
    meter("SUM", id="quoted", value_property="$['odd name']"),
    meter("COUNT", id="few", filters=[{"property": "$.region", "operator": "in", "value": ["a", "b"]}]),
    meter("SUM", id="some", filters=[{"property": "$.user", "operator": "ne", "value": "a"}]),
    meter("COUNT", id="many", filters=[{"property": "$.tokens", "operator": "gt", "value": 1}]),
    meter("COUNT", id="there", filters=[{"property": "$.flag", "operator": "eq", "value": True}]),
    meter("COUNT", id="gone", filters=[{"property": "$.flag", "operator": "exists", "value": False}]),
)

_PLAIN = {
    b"specversion": b'"1.0"',
    b"id": b'"e-5"',
    b"source": b'"app"',
    b"type": b'"request"',
    b"subject": b'"c-1"',
    b"time": b'"2026-11-23T10:00:00Z"',
}
_ENVELOPE = {
    b"specversion": st.sampled_from([b'"1.0"'] * 30 + [b'"0.3"', b"1.0", b"null"]),
    b"id": st.one_of(st.sampled_from([b'"e-1"', b'"e-2"', b'"e-3"', b'"e-4"', b'"0e-1"']), TEXT),
    b"source": st.one_of(st.just(b'"app"'), st.just(b'"app"'), TEXT),
    b"type": st.one_of(st.just(b'"request"'), st.just(b'"request"'), VALUE),
    b"subject": st.one_of(st.sampled_from([b'"c-1"', b'"c-2"', b'"c-3"']), TEXT),
    b"time": st.sampled_from(TIMES),
}
_EXTRA = {
    b"organization": st.one_of(st.just(b'"acme"'), VALUE),
    b"authorization": VALUE,
    b"data_base64": st.sampled_from([b"null", b'"AA=="', b"1"]),
    b"extra": VALUE,
}
_DATA = {
    b"tokens": st.one_of(st.sampled_from([b"1", b"2", b"5"]), NUMBER, VALUE),
    b"user": st.one_of(st.sampled_from([b'"u1"', b'"u2"']), VALUE),
    b"region": st.one_of(st.sampled_from([b'"a"', b'"c"']), VALUE),
    b"flag": VALUE,
    b"usage": st.one_of(VALUE, st.builds(lambda value: b'{"total":' + value + b',"kind":' + value + b"}", VALUE)),
    b"parts": st.one_of(VALUE, st.builds(lambda value: b'[{"size":' + value + b"}]", NUMBER)),
    b"odd name": NUMBER,
    b"unread": VALUE,
}
_BYTES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b" ", b"\n", b"\r", b"\x00", b"\xff", b"1", b"e"]
)


def _object(members: list[tuple[bytes, bytes]], space: bytes) -> bytes:
    return b"{" + (b"," + space).join(b'"' + name + b'":' + space + value for name, value in members) + b"}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: sound, odd or broken."""
    space = draw(st.sampled_from([b"", b" "]))
    data = draw(st.fixed_dictionaries({}, optional=_DATA))
    whole = _object(list(data.items()), space) if draw(st.integers(0, 9)) else draw(VALUE)
    envelope = _PLAIN | draw(st.one_of(st.just({}), st.fixed_dictionaries({}, optional=_ENVELOPE)))
    extra = draw(st.one_of(st.just({}), st.just({}), st.fixed_dictionaries({}, optional=_EXTRA)))
    members = [*envelope.items(), *extra.items(), (b"data", whole)]
    if draw(st.integers(0, 4)) == 0:
        members = draw(st.permutations(members))
        members = draw(st.sampled_from([members, members[1:], [*members, members[0]]]))
    body = _object(members, space)
    return draw(
        st.sampled_from(
            [body] * 8 + [b" " + body, body + b" ", b"\xef\xbb\xbf" + body, body + body, body + b"null" + body]
        )
    )


@st.composite
def broken_bodies(draw: st.DrawFn) -> bytes:
    """Draw a body with bytes put in, taken out or said again."""
    body = draw(bodies())
    for _ in range(draw(st.integers(0, 3))):
        start, stop = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        stop = min(stop, start + 12)
        middle = draw(st.one_of(st.just(b""), _BYTES, VALUE, st.just(body[start:stop] * 2)))
        body = body[:start] + middle + body[stop:]
    return body


@st.composite
def logs(draw: st.DrawFn, *, max_size: int = 12) -> list[LogRecord]:
    """Draw a short log of one partition, with the holes that transactions leave."""
    raws = draw(st.lists(st.one_of(bodies(), broken_bodies()), min_size=1, max_size=max_size))
    header = st.sampled_from([b"acme"] * 12 + [None, b"other", b"nobody", b"", b"\xff", b"a\nb"])
    arrival = st.sampled_from([None] * 12 + [str(ARRIVAL_MS).encode(), b"", b"x", b"-1", b"1" * 16])
    records, offset = [], draw(st.integers(0, 1_000))
    for raw in raws:
        copies = draw(st.sampled_from([1, 1, 1, 2, 3]))
        for _ in range(copies):
            value = draw(st.sampled_from([raw] * 15 + [None, b""]))
            records.append(LogRecord(offset, ARRIVAL_MS + draw(st.integers(0, 9)), value, draw(header), draw(arrival)))
            offset += draw(st.sampled_from([1, 1, 1, 2]))
    return records
