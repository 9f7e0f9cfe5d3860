from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sinks.first_seen import FirstSeenIndex

Open = Callable[..., FirstSeenIndex]


@pytest.fixture
def open_index(tmp_path: Path) -> Any:
    """Opens the index of a partition, by default always the same one; closes what a test leaves open."""
    opened: list[FirstSeenIndex] = []

    def open_(directory: Path = tmp_path / "index", **changed: Any) -> FirstSeenIndex:
        owner = {"rules_version": 1, "cluster_id": "cluster", "topic": "events", "partition": 3, "lock_wait_s": 0.1}
        index = FirstSeenIndex.open(directory, **(owner | changed))
        opened.append(index)
        return index

    yield open_
    for index in opened:
        index.close()
