"""Repeats, conflicts and what is remembered, within a block and from one to the next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.blocks import Outcome
from metering.decode import BlockDecoder
from metering.first_seen import DUPLICATE_WINDOW_MS
from metering.identity import body_hash, identity_key
from metering.recount import LogRecord, recount
from metering.rejections import Code
from metering.settle import settle, suspects
from sinks.first_seen.entries import Seen
from tests.unit.metering.blocks import MemoryIndex, as_batch, count_in_blocks
from tests.unit.metering.builders import ARRIVAL_MS, CATALOGUE, ORGANIZATION, raw_event

BODIES = [raw_event(), raw_event() + b" ", raw_event(data={"tokens": 6}), raw_event(type="other"), raw_event(id="e-2")]
STEPS = st.sampled_from([0, 1, DUPLICATE_WINDOW_MS // 2, DUPLICATE_WINDOW_MS - 1, DUPLICATE_WINDOW_MS])


@given(
    sent=st.lists(st.tuples(st.sampled_from(BODIES), STEPS, st.booleans()), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_chains_come_out_as_one_by_one(sent: list[tuple[bytes, int, bool]], cuts: list[int]) -> None:
    records: list[LogRecord] = []
    arrival_ms = ARRIVAL_MS
    for offset, (body, step, forwarded) in enumerate(sent):
        arrival_ms += step
        first = str(arrival_ms - DUPLICATE_WINDOW_MS // 3).encode() if forwarded else None
        # Without a time, an event is never too old for its arrival.
        raw = body.replace(b'"time": "2026-11-23T10:00:00Z", ', b"")
        records.append(LogRecord(offset, arrival_ms, raw, b"acme", first))
    places = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    exact = recount(0, 1, records, CATALOGUE)
    fast = count_in_blocks([records[start:stop] for start, stop in pairwise(places)], CATALOGUE)
    assert fast.verdicts == exact.verdicts
    assert fast.totals == exact.totals


def test_remembers_counted_events_and_the_latest_arrival_of_their_repeats() -> None:
    raws = [raw_event(), raw_event(id="e-2"), raw_event(), raw_event(data={"tokens": 9}), b"{"]
    records = [LogRecord(10 + place, ARRIVAL_MS + place, raw, b"acme") for place, raw in enumerate(raws)]
    index = MemoryIndex()
    decoded = BlockDecoder(CATALOGUE, partitions=1).decode(as_batch(records, 0))
    settled = settle(decoded, index.lookup(decoded), {})
    outcomes = [Outcome.COUNTED, Outcome.COUNTED, Outcome.DUPLICATE, Outcome.REJECTED, Outcome.REJECTED]
    assert settled.result.outcomes.tolist() == outcomes
    assert [letter.code for letter in settled.result.dead_letters] == [Code.CONFLICT, Code.INVALID_JSON]
    assert settled.result.dead_letters[0].organization_id == ORGANIZATION.id
    index.add(settled)
    key = identity_key(ORGANIZATION.id, "customer-1", "app", "e-1")
    seen = index.entries[int.from_bytes(key[:8]), int.from_bytes(key[8:])]
    assert (seen.offset, seen.arrival_ms, seen.body_hash) == (10, ARRIVAL_MS + 2, body_hash(raws[0]))
    assert len(index.entries) == 2


@pytest.mark.parametrize("earlier", [raw_event(), raw_event() + b" ", raw_event(data={"tokens": 9})])
def test_reads_a_body_back_only_where_the_hash_differs(earlier: bytes) -> None:
    batch = as_batch([LogRecord(9, ARRIVAL_MS, raw_event(), b"acme")], 0)
    decoded = BlockDecoder(CATALOGUE, partitions=1).decode(batch)
    one = np.array([3], np.int64)
    hashes = np.array([body_hash(earlier)], np.uint64)
    seen = Seen(np.array([True]), one, np.array([ARRIVAL_MS]), hashes)
    same_bytes = earlier == raw_event()
    assert suspects(decoded, seen).tolist() == ([] if same_bytes else [3])
    settled = settle(decoded, seen, {} if same_bytes else {3: earlier})
    conflict = b"9" in earlier.split(b"data")[1]
    assert settled.result.outcomes.tolist() == [Outcome.REJECTED if conflict else Outcome.DUPLICATE]
    assert len(settled.keys) == 0  # nothing is new, and nothing arrived later
