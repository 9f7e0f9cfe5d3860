from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import NotFoundError
from sinks.postgres.dead_letters import RECORD_LEVEL, DeadLetterId

topics = st.from_regex(r"[a-zA-Z0-9._-]{1,60}", fullmatch=True)
meters = st.just(RECORD_LEVEL) | st.uuids().map(str)


@given(topics, st.integers(0, 1023), st.integers(0, 10**18 - 1), meters)
def test_an_id_comes_back_as_it_went(topic: str, partition: int, offset: int, meter_id: str) -> None:
    key = DeadLetterId(topic, partition, offset, meter_id)
    assert DeadLetterId.parse(str(key)) == key


def test_ids_are_readable() -> None:
    meter = uuid.UUID("12345678-1234-1234-1234-123456789012")
    assert str(DeadLetterId("usage.events.v1", 3, 17)) == "usage.events.v1-3-17"
    assert str(DeadLetterId("t", 0, 1, str(meter))) == "t-0-1-12345678123412341234123456789012"


@pytest.mark.parametrize("text", ["", "t", "t-1", "t-1-x", "-1-2", "t-1-2-abc", "t\x00-1-2", "t-99999-1", "t-1--1"])
def test_other_texts_name_nothing(text: str) -> None:
    with pytest.raises(NotFoundError):
        DeadLetterId.parse(text)
