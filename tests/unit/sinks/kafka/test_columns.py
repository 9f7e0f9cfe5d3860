"""What the fetcher holds: errors are told, but for the one that only says that we have not sought yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from sinks.kafka.columns import drain

TP = TopicPartition("t", 0)


def fetcher(error: Exception) -> Any:
    held = {TP: FetchError(error=error, backoff=0)}
    return SimpleNamespace(_records=held, _wait_consume_future=None, _notify=lambda _: None)


def test_a_position_that_we_have_not_sought_yet_is_no_failure() -> None:
    early = fetcher(NoOffsetForPartitionError(TP))
    assert drain(early, {TP}, 10) == []
    assert early._records == {}  # aiokafka looks again, and finds ours


def test_a_position_that_the_log_does_not_have_is_told() -> None:
    with pytest.raises(OffsetOutOfRangeError):
        drain(fetcher(OffsetOutOfRangeError({TP: 7})), {TP}, 10)
