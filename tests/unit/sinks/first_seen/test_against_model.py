"""Any sequence of calls, crashes and merges answers as a dict would."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sinks.first_seen import FirstSeenIndex
from tests.unit.sinks.first_seen.blocks import crash_copy, pairs

_TOP = 2**64 - 1
_half = st.sampled_from([0, 1, 2**32, 2**63, _TOP - 1, _TOP])
_key = st.tuples(_half, _half | st.integers(0, _TOP))
# Keys that come again, none sharing a half with another: the usual case, sorted in another way.
_plain_key = st.integers(1, 15).map(lambda number: (number << 60 | 5, number))
_ALL = pairs(*[(hi, lo) for hi in (0, 1, 2**32, 2**63, _TOP - 1, _TOP) for lo in (0, 1, 2**32, 2**63, _TOP - 1, _TOP)])

Entry = tuple[int, int, int]


class AgainstModel(RuleBasedStateMachine):
    """The log is a list of blocks; a crash forgets those after the index's position, and its owner reads them again."""

    @initialize(flush_rows=st.integers(1, 40))
    def begin(self, flush_rows: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="first-seen-test-"))
        self.copies = 0
        self.flush_rows = flush_rows
        self.log: list[tuple[int, dict[tuple[int, int], Entry]]] = []
        self.held: dict[tuple[int, int], Entry] = {}
        self.expired_before = -1
        self.now = 0
        self.index = self.open(self.root / "0")

    def open(self, directory: Path) -> FirstSeenIndex:
        return FirstSeenIndex.open(
            directory, rules_version=1, cluster_id="c", topic="t", partition=0, flush_rows=self.flush_rows
        )

    def write(self, position: int, block: dict[tuple[int, int], Entry]) -> None:
        columns = np.array(list(block.values()), dtype=np.int64).reshape(-1, 3)
        self.index.add(pairs(*block), columns[:, 0], columns[:, 1], columns[:, 2].astype(np.uint64), position=position)

    @rule(
        keys=st.lists(_key, unique=True, max_size=30) | st.lists(_plain_key, unique=True),
        body=st.integers(0, 2**63 - 1),
    )
    def add(self, keys: list[tuple[int, int]], body: int) -> None:
        self.now += 1
        position = self.index.held_position + len(keys) + 1
        block = {key: (position - at, self.now, body) for at, key in enumerate(keys)}
        self.log.append((position, block))
        self.held |= block
        self.write(position, block)

    @rule()
    def flush(self) -> None:
        self.index.flush()
        assert self.index.position == self.index.held_position

    @rule()
    def reopen(self) -> None:
        position = self.index.held_position
        directory = self.index._directory
        self.index.close()
        self.index = self.open(directory)
        assert self.index.position == self.index.held_position == position

    @rule()
    def crash_and_catch_up(self) -> None:
        position = self.index.position
        self.copies += 1
        copy = crash_copy(self.index._directory, self.root / str(self.copies))
        self.index.close()
        self.index = self.open(copy)
        assert self.index.position == position
        for end, block in self.log:
            if end > position:
                self.write(end, block)

    @rule()
    def merge(self) -> None:
        self.index._advance_merge(wait=True)

    @rule(age=st.integers(0, 10))
    def expire(self, age: int) -> None:
        self.expired_before = max(self.expired_before, self.now - age)
        self.index.expire(self.now - age)

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.held, self.log = {}, []

    @rule(keys=st.lists(_key, max_size=30))
    def look_up(self, keys: list[tuple[int, int]]) -> None:
        self.check(keys + list(self.held))

    @invariant()
    def always_agrees(self) -> None:
        self.check(list(zip(_ALL.hi.tolist(), _ALL.lo.tolist(), strict=True)))

    def check(self, keys: list[tuple[int, int]]) -> None:
        seen = self.index.lookup(pairs(*keys))
        for at, key in enumerate(keys):
            expected = self.held.get(key)
            answer = (int(seen.offsets[at]), int(seen.arrivals_ms[at]), int(seen.body_hashes[at]))
            if expected is None:
                assert not seen.found[at]
            elif expected[1] >= self.expired_before:
                assert seen.found[at]
                assert answer == expected
            elif seen.found[at]:  # what has expired may still be there, or an even older entry of it
                assert answer[1] <= expected[1]

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            shutil.rmtree(self.root)


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
