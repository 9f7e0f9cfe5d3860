from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from api.usage.event_requests import BATCH, ONE, PLAIN, read_events, read_idempotency_key
from runtime.errors import InvalidInput, PayloadTooLarge

json_objects = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text()))


@given(st.lists(json_objects, max_size=8), st.sampled_from([None, 1]))
def test_events_come_out_byte_for_byte(objects: list[dict[str, object]], indent: int | None) -> None:
    texts = [json.dumps(one, indent=indent).encode() for one in objects]
    found = read_events(b" [" + b" ,\n".join(texts) + b"]\n", BATCH, max_events=10)
    assert (found.bodies, found.is_batch, found.plain) == (texts, True, False)


def test_one_object_is_one_event() -> None:
    assert read_events(b' {"a": 1} ', ONE, max_events=1).bodies == [b'{"a": 1}']
    assert read_events(b"{}", f"{PLAIN}; charset=utf-8", max_events=1).plain


def test_a_bad_element_leaves_its_neighbours_whole() -> None:
    found = read_events(b'[{"a":"],["}, nonsense, {"b":[1,2]}]', PLAIN, max_events=10)
    assert found.bodies == [b'{"a":"],["}', b"nonsense", b'{"b":[1,2]}']


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", PLAIN), (b"  ", PLAIN), (b"5", PLAIN), (b"[", PLAIN), (b"[]]", PLAIN), (b"[]", ONE), (b"{}", BATCH)],
)
def test_other_bodies_are_refused(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidInput):
        read_events(body, kind, max_events=10)


def test_limits() -> None:
    assert len(read_events(b"[1,2]", PLAIN, max_events=2).bodies) == 2
    with pytest.raises(PayloadTooLarge):
        read_events(b"[1,2,3]", PLAIN, max_events=2)
    with pytest.raises(HTTPException) as refused:
        read_events(b"{}", "application/x-www-form-urlencoded", max_events=2)
    assert refused.value.status_code == 415


def test_idempotency_keys_leave_room_for_the_index() -> None:
    assert read_idempotency_key(None) is None
    assert read_idempotency_key("x" * 249) == "x" * 249
    for bad in ("", "x" * 250, "a\nb"):
        with pytest.raises(InvalidInput):
            read_idempotency_key(bad)
