"""The reference load is what DESIGN §8 says, and its own recount agrees with a plain one."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from benchmarks.load import Load, LoadShape, Record, subject_name
from metering.events import parse_event
from metering.partitions import home_partition
from metering.rejections import Rejection

pytestmark = pytest.mark.unit

UNTIL = datetime(2026, 11, 23, 12, tzinfo=UTC)
PARTITIONS = 4


def _load(**shape: int) -> Load:
    return Load(LoadShape(events=5_000, subjects=100, **shape), partitions=PARTITIONS, until=UNTIL)


def _recount(records: list[Record]) -> tuple[Counter[str], Counter[str], int]:
    """Count by subject, each id once."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for record in records:
        event = json.loads(record.body)
        if event["id"] not in seen:
            seen.add(event["id"])
            counts[event["subject"]] += 1
            sums[event["subject"]] += event["data"]["tokens"]
    return counts, sums, len(records) - len(seen)


def test_every_record_is_a_good_event_of_319_bytes_at_its_home() -> None:
    for record in _load().records():
        event = parse_event(
            record.body, organization=None, arrival_ms=int(UNTIL.timestamp() * 1_000), default_organization=None
        )
        assert not isinstance(event, Rejection)
        assert len(record.body) == 319
        assert record.key == event.subject.encode()
        assert record.partition == home_partition(event.subject, PARTITIONS)


def test_the_expected_totals_are_a_plain_recount() -> None:
    load = _load()
    counts, sums, duplicates = _recount(list(load.records()))
    expected = load.expected()
    assert (expected.records, expected.duplicates) == (5_000, duplicates)
    assert 0.04 < duplicates / 5_000 < 0.06
    assert {subject_name(n): c for n, c in enumerate(expected.counts.tolist()) if c} == dict(counts)
    assert {subject_name(n): s for n, s in enumerate(expected.sums.tolist()) if s} == dict(sums)
    assert load.ids == 5_000 - duplicates
    assert load.tokens_produced() == sum(json.loads(body)["data"]["tokens"] for body in load.bodies())


def test_a_part_of_each_partition_is_recounted_by_its_positions() -> None:
    load = _load()
    positions = {0: 300, 1: 0, 2: 17, 3: 10_000}
    taken: Counter[int] = Counter()
    part = []
    for record in load.records():
        if taken[record.partition] < positions[record.partition]:
            part.append(record)
            taken[record.partition] += 1
    counts, sums, duplicates = _recount(part)
    expected = load.expected(positions)
    assert (expected.records, expected.duplicates) == (len(part), duplicates)
    assert int(expected.counts.sum()) == counts.total()
    assert int(expected.sums.sum()) == sums.total()


def test_event_times_follow_arrival_or_spread() -> None:
    def times(load: Load) -> list[datetime]:
        return [datetime.fromisoformat(json.loads(body)["time"]) for body in load.bodies()]

    following = times(_load())
    assert following[-1] <= UNTIL
    assert (max(following) - min(following)).total_seconds() < 1
    assert (max(times(_load(spread_s=3_600))) - min(times(_load(spread_s=3_600)))).total_seconds() > 3_000


def test_another_seed_has_other_ids() -> None:
    assert not {json.loads(body)["id"] for body in _load(seed=1).bodies()} & {
        json.loads(body)["id"] for body in _load(seed=2).bodies()
    }
