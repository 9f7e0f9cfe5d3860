"""Counting exactly once: any order, batching and duplication of the same events gives the same totals."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.blocks import Outcome
from metering.catalogue import Catalogue, Organization
from metering.first_seen import DUPLICATE_WINDOW_MS
from metering.meters import Aggregation
from metering.partitions import home_partition
from metering.recount import LogRecord, MemoryCounter, TotalKey, Verdict, merge_totals, recount
from metering.rejections import Code
from metering.totals import Partial
from tests.unit.metering.builders import ALL_METERS, ARRIVAL_MS, CATALOGUE, ORGANIZATION, body, meter, raw_event

ACME = b"acme"
MINUTE = ARRIVAL_MS // 60_000


def log(*raws: bytes | None, step_ms: int = 0) -> list[LogRecord]:
    """Return records of one organization, offsets from 0 on."""
    return [LogRecord(i, ARRIVAL_MS + i * step_ms, raw, ACME) for i, raw in enumerate(raws)]


def count(records: list[LogRecord], catalogue: Catalogue = CATALOGUE) -> MemoryCounter:
    return recount(0, 1, records, catalogue)


def outcomes(counter: MemoryCounter) -> list[Outcome]:
    return [verdict.outcome for verdict in counter.verdicts]


def values(counter: MemoryCounter) -> dict[str, Any]:
    return {key.meter_id: total.value() for key, total in counter.totals.items()}


def test_every_aggregation_of_one_minute() -> None:
    counter = count(log(*(raw_event(id=f"e{i}", data={"tokens": text}) for i, text in enumerate([3, "1.5", 3, 0]))))
    assert outcomes(counter) == [Outcome.COUNTED] * 4
    assert values(counter) == {
        "m-sum": Decimal("7.5"),
        "m-count": 4,
        "m-unique_count": 3,
        "m-avg": Decimal("1.875"),
        "m-min": 0,
        "m-max": 3,
        "m-latest": 0,
    }
    assert {key[:2] + key[3:] for key in counter.totals} == {(ORGANIZATION.id, "customer-1", MINUTE)}


def test_repeats_count_once_and_conflicts_not_at_all() -> None:
    event = raw_event()
    reordered = json.dumps(body(), sort_keys=True).encode()
    conflict = raw_event(data={"tokens": 6})
    counter = count(log(event, event, reordered, conflict, event))
    duplicate = Outcome.DUPLICATE
    assert outcomes(counter) == [Outcome.COUNTED, duplicate, duplicate, Outcome.REJECTED, duplicate]
    rejection = counter.verdicts[3].rejection
    assert rejection is not None
    assert (rejection.code, rejection.event_id) == (Code.CONFLICT, "e-1")
    assert values(counter)["m-sum"] == 5


def test_only_a_counted_event_claims_an_id() -> None:
    unfit = raw_event(time="2020-01-01T00:00:00Z")
    assert outcomes(count(log(unfit, raw_event()))) == [Outcome.REJECTED, Outcome.COUNTED]


def test_a_meter_that_cannot_read_skips_and_the_event_still_counts() -> None:
    counter = count(log(raw_event(data={"tokens": [1]})))
    assert outcomes(counter) == [Outcome.COUNTED]
    assert values(counter) == {"m-count": 1}
    assert {name: skip.code for name, skip in counter.verdicts[0].skips} == {
        one.id: Code.METER_VALUE_INVALID for one in ALL_METERS if one.aggregation is not Aggregation.COUNT
    }


def test_an_unknown_type_is_counted_by_no_meter() -> None:
    counter = count(log(raw_event(type="unheard-of")))
    assert counter.verdicts == [Verdict(0, Outcome.COUNTED)]
    assert counter.totals == {}


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (LogRecord(0, ARRIVAL_MS, None, ACME), Code.EMPTY_RECORD),
        (LogRecord(0, ARRIVAL_MS, raw_event(), b"\xff"), Code.INVALID_HEADER),
        (LogRecord(0, ARRIVAL_MS, raw_event(), ACME, b"soon"), Code.INVALID_HEADER),
        (LogRecord(0, ARRIVAL_MS, raw_event(), None), Code.MISSING_ORGANIZATION),
        (LogRecord(0, ARRIVAL_MS, raw_event(), b"nobody"), Code.UNKNOWN_ORGANIZATION),
        (LogRecord(0, ARRIVAL_MS, raw_event(organization="other"), ACME), Code.ORGANIZATION_MISMATCH),
    ],
)
def test_rejections(record: LogRecord, code: Code) -> None:
    (verdict,) = count([record]).verdicts
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.rejection is not None
    assert verdict.rejection.code is code


def test_the_window_is_measured_between_arrivals_and_repeats_prolong_it() -> None:
    event = raw_event(time=...)
    later = [LogRecord(i, ARRIVAL_MS + at, event, ACME) for i, at in enumerate([0, DUPLICATE_WINDOW_MS - 1])]
    again = LogRecord(2, ARRIVAL_MS + 2 * DUPLICATE_WINDOW_MS - 2, event, ACME)
    afresh = LogRecord(3, again.arrival_ms + DUPLICATE_WINDOW_MS, event, ACME)
    counter = count([*later, again, afresh])
    assert outcomes(counter) == [Outcome.COUNTED, Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.COUNTED]


def test_a_forwarded_record_is_judged_by_its_first_arrival() -> None:
    home = home_partition("customer-1", 8)
    event = raw_event(time="2026-11-23T10:05:00Z")
    elsewhere = recount(home ^ 1, 8, log(event), CATALOGUE)
    assert outcomes(elsewhere) == [Outcome.FORWARDED]
    astray = LogRecord(0, ARRIVAL_MS, event, ACME, str(ARRIVAL_MS).encode())
    rejection = recount(home ^ 1, 8, [astray], CATALOGUE).verdicts[0].rejection
    assert rejection is not None
    assert rejection.code is Code.NOT_AT_HOME  # it must not go round in circles
    late = ARRIVAL_MS + 36 * 86_400_000
    forwarded = LogRecord(0, late, event, ACME, str(ARRIVAL_MS).encode())
    assert outcomes(recount(home, 8, [forwarded], CATALOGUE)) == [Outcome.COUNTED]
    assert outcomes(recount(home, 8, [LogRecord(0, late, event, ACME)], CATALOGUE)) == [Outcome.REJECTED]


def test_meters_and_organizations_begin_and_end_at_places_of_the_log() -> None:
    catalogue = Catalogue(
        1,
        (Organization(ORGANIZATION.id, "acme", (1,), (5,)),),
        (meter("COUNT", effective_positions=(2,), archived_positions=(4,)),),
    )
    counter = count(log(*(raw_event(id=str(i)) for i in range(6))), catalogue)
    assert [verdict.outcome is Outcome.COUNTED for verdict in counter.verdicts] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert values(counter) == {"m-count": 2}


def an_event(number: int, customer: int, tokens: Any, second: int) -> bytes:
    time = f"2026-11-23T09:5{second // 60}:{second % 60:02}Z"
    return raw_event(id=f"e{number}", subject=f"customer-{customer}", data={"tokens": tokens}, time=time)


events = st.builds(
    an_event,
    st.integers(0, 10**9),
    st.integers(0, 5),
    st.integers(-(10**14), 10**14) | st.decimals(0, 10**6, places=6).map(str) | st.just("broken"),
    st.integers(0, 599),
)


def identity(raw: bytes) -> tuple[str, str]:
    event = json.loads(raw)
    return event["id"], event["subject"]


def plain(totals: dict[TotalKey, Partial]) -> dict[TotalKey, tuple[Any, int]]:
    """Return what does not depend on offsets."""
    return {key: (total.value(), total.events) for key, total in totals.items()}


@given(
    st.lists(events, max_size=25, unique_by=identity),
    st.lists(st.integers(0, 24), max_size=20),
    st.randoms(use_true_random=False),
    st.integers(1, 4),
)
def test_any_order_and_duplication_over_any_partitions_gives_the_same_totals(
    raws: list[bytes], repeats: list[int], random: Random, partitions: int
) -> None:
    """LATEST of one instant is left out: it is the last in the log by rule, so it follows the order."""
    catalogue = Catalogue(1, (ORGANIZATION,), tuple(m for m in ALL_METERS if m.aggregation is not Aggregation.LATEST))
    straight = recount(0, 1, log(*raws), catalogue)
    shuffled = [*raws, *(raws[i] for i in repeats if i < len(raws))]
    random.shuffle(shuffled)

    # Producers choose any partition; what is not at home is forwarded there, some of it twice.
    logs: list[list[LogRecord]] = [[] for _ in range(partitions)]
    counters = [MemoryCounter(partition, partitions) for partition in range(partitions)]
    pending = [(random.randrange(partitions), LogRecord(0, ARRIVAL_MS, raw, ACME)) for raw in shuffled]
    while pending:
        partition, record = pending.pop(0)
        placed = LogRecord(len(logs[partition]), record.arrival_ms, record.raw, ACME, record.first_arrival)
        logs[partition].append(placed)
        if counters[partition].count(placed, catalogue).outcome is Outcome.FORWARDED:
            assert record.raw is not None
            home = home_partition(identity(record.raw)[1], partitions)
            forwarded = LogRecord(0, ARRIVAL_MS + 1, record.raw, ACME, str(ARRIVAL_MS).encode())
            pending += [(home, forwarded)] * random.randint(1, 2)

    assert plain(merge_totals(counters)) == plain(straight.totals)
    tally = Counter(verdict.outcome for counter in counters for verdict in counter.verdicts)
    assert tally[Outcome.COUNTED] == len(raws)
    assert tally.total() == sum(map(len, logs))


@given(st.lists(events, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_any_batching_of_the_same_log_gives_the_same(raws: list[bytes], cuts: list[int]) -> None:
    """Counted whole, or in blocks whose totals are combined: equal, LATEST and its place too."""
    records = log(*raws)
    whole = count(records)
    counter = MemoryCounter(0, 1)
    blocks: list[MemoryCounter] = []
    edges = [0, *sorted(cut for cut in cuts if cut <= len(records)), len(records)]
    for start, end in pairwise(edges):
        counter.totals = {}
        for record in records[start:end]:
            counter.count(record, CATALOGUE)
        blocks.append(MemoryCounter(0, 1, totals=counter.totals))
    assert counter.verdicts == whole.verdicts
    assert merge_totals(blocks) == whole.totals
    assert plain(merge_totals(reversed(blocks))) == plain(whole.totals)
