"""What Arrow's JSON reader must never see is found."""

from __future__ import annotations

import pytest

from metering.screens import Lines, find_unsafe

SOUND = b'{"id":"a","data":{"x":[1,2,{"y":"z"}]}}'


def unsafe(*values: bytes, decimals: bool = False) -> list[bool]:
    given = list(values)
    return [bool(mark) for mark in find_unsafe(given, Lines(given), decimals=decimals)]


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"[]",
        b" {}",
        b"{} ",
        b"\xef\xbb\xbf{}",
        b'{"a":1\n}',
        b'{"a":1,\t"b":2}',
        b'{"a":"\x00"}',
        b'{"a":1}{"b":2}',
        b'{"a":1} {"b":2}',
        b'{"a":1}null{"b":2}',
        b"{}null,{}",
        b'{"a":NaN}',
        b'{"a":[1,-Infinity]}',
        b'{"a": Inf}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\u0000"}',
        b'{"\\u0069d":1}',
        b'{"a":"\\u009f"}',
        b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    ],
    ids=repr,
)
def test_finds_what_arrow_would_misread(value: bytes) -> None:
    assert unsafe(SOUND, value, SOUND) == [False, True, False]
    assert unsafe(value) == [True]


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        SOUND,
        b'{"a":"Nobody, Infra and Information"}',
        b'{"a":"x\\ny","b":"C:\\\\users"}',
        b'{"a":"\\u00e9\\ud83d\\ude00"}',
        '{"a":"é日本"}'.encode(),
        b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
        b'{"a":"007","b":".5","c":1e-999999999}',
    ],
    ids=repr,
)
def test_lets_common_records_through(value: bytes) -> None:
    assert unsafe(SOUND, value, SOUND) == [False, False, False]


@pytest.mark.parametrize(
    "value",
    [
        b'"+1"', b'"+.5"', b'".5"', b'"-.5"', b'"007"', b'"-01.5"', b'"00e1"', b'"5."', b'"-5."', b'"5.e2"', b'".5E-1"',
        b"1e-100", b"0.0E-2147483647", b'"1e-2147483647"',
    ],
    ids=repr,
)  # fmt: skip
def test_finds_what_is_no_decimal_for_json(value: bytes) -> None:
    record = b'{"a":' + value + b"}"
    assert unsafe(SOUND, record, SOUND, decimals=True) == [False, True, False]


@pytest.mark.parametrize(
    "value",
    [b'"0.5"', b'"-0.5"', b'"0"', b'"v10."', b'"0a-1e-12"', b'"2026-11-23"', b'"Done."', b"1e-10", b"-0.5"],
    ids=repr,
)
def test_lets_decimals_and_ids_through(value: bytes) -> None:
    assert unsafe(SOUND, b'{"a":' + value + b"}", decimals=True) == [False, False]
