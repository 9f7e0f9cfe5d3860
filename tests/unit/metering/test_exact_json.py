"""JSON without loss, and no input that breaks the reader."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.exact_json import DUPLICATE, MAX_DEPTH, InvalidJson, TooDeep, UnreadableNumber, loads


def test_numbers_keep_every_digit() -> None:
    text = "123456789012345.123456789012345678"
    assert loads(text.encode()) == Decimal(text)
    assert loads(b"1" * 5000) == Decimal("1" * 5000)
    assert loads(b"[1e999999999999999999999]") == [UnreadableNumber("1e999999999999999999999")]


def test_a_name_said_twice_has_no_value() -> None:
    assert loads(b'{"a":1,"b":{"c":1,"c":1,"d":2},"a":2}') == {
        "a": DUPLICATE,
        "b": {"c": DUPLICATE, "d": Decimal(2)},
    }


def test_escaped_names_are_compared_decoded() -> None:
    assert loads(rb'{"a":1,"\u0061":2}') == {"a": DUPLICATE}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("more", [1, 100_000])
def test_depth_is_counted_before_parsing(opening: str, more: int) -> None:
    with pytest.raises(TooDeep):
        loads((opening * (MAX_DEPTH + more)).encode())


def test_depth_within_the_limit() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    assert loads(json.dumps(["[{" * 500, '"[[', "\\"] + [[] for _ in range(50)]).encode()) is not None


@pytest.mark.parametrize("text", [b'\\"', b'"\\', b'"', b'\\\\"'])
def test_texts_that_never_end_cost_no_more_than_their_length(text: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidJson):
        loads(b'"' + text * 500_000 + b"[" * (MAX_DEPTH + 1))
    assert time.perf_counter() - started < 1


def test_depth_before_a_text_that_never_ends_is_counted() -> None:
    with pytest.raises(TooDeep):
        loads(b"[" * (MAX_DEPTH + 1) + b'"')


MALFORMED = [b"", b"{", b"nul", b"NaN", b"[Infinity]", b"[-Infinity]", b"{} {}", b"01", b"{'a':1}", b"[1,]", b'"\x00"']
NOT_UTF8 = [b"\xef\xbb\xbf{}", b'"\xff"', "{}".encode("utf-16"), b'"\xed\xa0\x80"']


@pytest.mark.parametrize("raw", [*MALFORMED, *NOT_UTF8])
def test_refuses(raw: bytes) -> None:
    with pytest.raises(InvalidJson):
        loads(raw)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ae1-.', max_size=200).map(str.encode))
def test_never_raises_anything_else(raw: bytes) -> None:
    try:
        loads(raw)
    except InvalidJson:
        return
    json.loads(raw)
