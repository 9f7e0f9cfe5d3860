"""Runs a log through the fast path in blocks, and says what came out in the words of `metering.recount`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np

from metering.blocks import MeterDeltas, Outcome
from metering.catalogue import Catalogue
from metering.decode import BlockDecoder, DecodedBlock
from metering.first_seen import Seen
from metering.meters import Aggregation
from metering.records import RecordBatch
from metering.recount import LogRecord, MemoryCounter, TotalKey, Verdict
from metering.rejections import Code, MeterSkip, Rejection
from metering.settle import Settled, settle, suspects
from metering.totals import Partial, Place
from sinks.first_seen.entries import Seen as SeenColumns

TOPIC = "usage.events.v1"


def as_batch(records: Sequence[LogRecord], partition: int, from_position: int | None = None) -> RecordBatch:
    """Return records as the transport brings them."""
    first = records[0].offset if records else 0
    return RecordBatch(
        topic=TOPIC,
        partition=partition,
        from_position=first if from_position is None else from_position,
        to_position=records[-1].offset + 1 if records else first,
        offsets=np.array([record.offset for record in records], np.int64),
        arrivals_ms=np.array([record.arrival_ms for record in records], np.int64),
        keys=[None] * len(records),
        values=[record.raw for record in records],
        organizations=[record.organization for record in records],
        first_arrivals=[record.first_arrival for record in records],
    )


class MemoryIndex:
    """A first-seen index in a dictionary."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int], Seen] = {}

    def lookup(self, decoded: DecodedBlock) -> SeenColumns:
        """Answer for a block's keys."""
        answers = SeenColumns.nothing(len(decoded.keys))
        pairs = zip(decoded.keys.hi.tolist(), decoded.keys.lo.tolist(), strict=True)
        for place, seen in enumerate(self.entries.get(pair) for pair in pairs):
            if seen is not None:
                answers.found[place] = True
                answers.offsets[place] = seen.offset
                answers.arrivals_ms[place] = seen.arrival_ms
                answers.body_hashes[place] = seen.body_hash
        return answers

    def add(self, settled: Settled) -> None:
        """Remember a block."""
        pairs = list(zip(settled.keys.hi.tolist(), settled.keys.lo.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs), "each key once"
        columns = (settled.offsets.tolist(), settled.arrivals_ms.tolist(), settled.body_hashes.tolist())
        for pair, offset, arrival_ms, body_hash in zip(pairs, *columns, strict=True):
            self.entries[pair] = Seen(offset, arrival_ms, body_hash)


def count_in_blocks(
    blocks: Iterable[Sequence[LogRecord]],
    catalogue: Catalogue,
    *,
    partition: int = 0,
    partitions: int = 1,
    default_organization: str | None = None,
) -> MemoryCounter:
    """Do what `recount` does, block by block."""
    counter = MemoryCounter(partition, partitions, default_organization)
    decoder = BlockDecoder(catalogue, partitions=partitions, default_organization=default_organization)
    index = MemoryIndex()
    log: dict[int, bytes | None] = {}
    for records in blocks:
        log |= {record.offset: record.raw for record in records}
        decoded = decoder.decode(as_batch(records, partition))
        seen = index.lookup(decoded)
        bodies = {offset: log[offset] or b"" for offset in suspects(decoded, seen).tolist()}
        settled = settle(decoded, seen, bodies)
        index.add(settled)
        counter.verdicts += verdicts_of(records, settled)
        for deltas in settled.result.deltas:
            for key, part in partials(deltas, partition).items():
                counter.totals.setdefault(key, Partial(part.aggregation)).merge(part)
    return counter


def verdicts_of(records: Sequence[LogRecord], settled: Settled) -> list[Verdict]:
    """Return the block's outcomes and dead letters, a verdict each record."""
    rejections: dict[int, Rejection] = {}
    skips: dict[int, list[tuple[str, MeterSkip]]] = {}
    for letter in settled.result.dead_letters:
        if letter.meter_id is None:
            assert letter.row not in rejections
            rejections[letter.row] = Rejection(Code(letter.code), letter.message, letter.event_id)
        else:
            skip = MeterSkip(Code(letter.code), letter.message)
            skips.setdefault(letter.row, []).append((letter.meter_id, skip))
    outcomes = settled.result.outcomes.tolist()
    return [
        Verdict(record.offset, Outcome(outcomes[row]), rejections.get(row), tuple(skips.get(row, ())))
        for row, record in enumerate(records)
    ]


def partials(deltas: MeterDeltas, partition: int) -> dict[TotalKey, Partial]:
    """Return one meter's deltas as totals."""
    aggregation = Aggregation(deltas.aggregation)
    found: dict[TotalKey, Partial] = {}
    for row, (subject, minute) in enumerate(zip(deltas.subjects, deltas.minutes.tolist(), strict=True)):
        part = Partial(aggregation, events=int(deltas.events[row]))
        if deltas.quantities is not None:
            part.quantity = Decimal(deltas.quantities[row])
        if deltas.latest_times_us is not None and deltas.latest_offsets is not None:
            part.latest = Place(int(deltas.latest_times_us[row]), partition, int(deltas.latest_offsets[row]))
        key = TotalKey(deltas.organization_id, subject, deltas.meter_id, minute)
        assert key not in found, "each subject and minute once"
        found[key] = part
    if deltas.value_hashes is not None:
        for subject, minute, value_hash in zip(*deltas.value_hashes, strict=True):
            found[TotalKey(deltas.organization_id, subject, deltas.meter_id, int(minute))].value_hashes.add(value_hash)
    return found
