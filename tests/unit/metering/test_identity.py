"""Same event, same body."""

from __future__ import annotations

import json

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from metering.identity import body_hash, identity_key, same_body
from tests.unit.metering.builders import body, raw_event

parts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(st.tuples(parts, parts, parts, parts), st.tuples(parts, parts, parts, parts))
def test_keys_tell_identities_apart(a: tuple[str, str, str, str], b: tuple[str, str, str, str]) -> None:
    assert len(identity_key(*a)) == 16
    assert (identity_key(*a) == identity_key(*b)) is (a == b)


def test_parts_do_not_run_together() -> None:
    assert identity_key("o", "ab", "c", "d") != identity_key("o", "a", "bc", "d")


def test_layout_is_the_one_that_columns_build() -> None:
    assert identity_key("o", "ü", "s", "i") == xxhash.xxh3_128("o\x00ü\x00s\x00i".encode()).digest()
    assert body_hash(b"x") == xxhash.xxh3_64(b"x").intdigest()


def raw_data(data: str) -> bytes:
    return raw_event(data="DATA").replace(b'"DATA"', data.encode())


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (raw_event(), raw_event()),
        (raw_event(), json.dumps(body(), indent=3, sort_keys=True).encode()),
        (raw_event(), raw_event(authorization="h", extra=1)),
        (raw_data('{"a":1,"b":[1.0]}'), raw_data('{"b":[1e0],"a":1.00}')),
        (raw_data('{"a":"\\u0041"}'), raw_data('{"a":"A"}')),
        (raw_event(data=..., time=...), raw_event(data=None, time=None)),
        (raw_data("{}"), raw_event(data=...)),
        (raw_data('{"a":1,"a":2}'), raw_data('{"a":1,"a":2}')),
    ],
)
def test_the_same(a: bytes, b: bytes) -> None:
    assert same_body(a, b)
    assert same_body(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (raw_event(), raw_event(type="other")),
        (raw_event(), raw_event(time=...)),
        (raw_event(), raw_event(time="2026-11-23T10:00:00.0Z")),
        (raw_data('{"a":1}'), raw_data('{"a":"1"}')),
        (raw_data('{"a":1}'), raw_data('{"a":true}')),
        (raw_data('{"a":[1,2]}'), raw_data('{"a":[2,1]}')),
        (raw_data('{"a":[1]}'), raw_data('{"a":[1,1]}')),
        (raw_data('{"a":null}'), raw_data("{}")),
        (raw_data('{"a":0.1000000000000000055511151231257827}'), raw_data('{"a":0.1}')),
        (raw_data('{"a":1e999999999999999999999}'), raw_data('{"a":1e999999999999999999998}')),
        (raw_data('{"a":1,"a":2}'), raw_data('{"a":1,"a":3}')),
        (raw_data('{"a":1,"a":2}'), raw_data('{"a": 1,"a":2}')),
        (raw_event(), b"{"),
        (raw_event(), b"[]"),
    ],
)
def test_not_the_same(a: bytes, b: bytes) -> None:
    assert not same_body(a, b)
    assert not same_body(b, a)
