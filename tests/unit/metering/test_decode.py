"""The fast path says of every log what the exact rules say, in whatever blocks it comes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.blocks import Outcome
from metering.catalogue import Catalogue, Organization
from metering.decode import BlockDecoder
from metering.partitions import home_partition
from metering.recount import LogRecord, recount
from metering.rejections import Code
from tests.unit.metering.blocks import as_batch, count_in_blocks
from tests.unit.metering.builders import ARRIVAL_MS, CATALOGUE, ORGANIZATION, body, meter, raw_event
from tests.unit.metering.hostile import METERS, NUMBERS, OTHERS, TEXTS, TIMES, logs

OTHER = Organization(id="00000000-0000-0000-0000-00000000000b", slug="other")
HOSTILE = Catalogue(version=1, organizations=(ORGANIZATION, OTHER), meters=METERS)


def log(*raws: bytes | None) -> list[LogRecord]:
    """Return a log of these bodies."""
    return [LogRecord(offset, ARRIVAL_MS, raw, b"acme") for offset, raw in enumerate(raws)]


def assert_agrees(records: list[LogRecord], blocks: list[list[LogRecord]], *, partitions: int = 1) -> None:
    exact = recount(0, partitions, records, HOSTILE)
    fast = count_in_blocks(blocks, HOSTILE, partitions=partitions)
    assert fast.verdicts == exact.verdicts
    assert fast.totals == exact.totals


@settings(max_examples=150)
@given(records=logs(), cuts=st.lists(st.integers(0, 40), max_size=5), partitions=st.sampled_from([1, 1, 3]))
def test_any_batching_gives_what_one_by_one_gives(records: list[LogRecord], cuts: list[int], partitions: int) -> None:
    places = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    assert_agrees(records, [records[start:stop] for start, stop in pairwise(places)], partitions=partitions)


@pytest.mark.parametrize("name", ["id", "subject", "type", "organization", "authorization", "extra", "data"])
def test_reads_an_attribute_as_the_exact_rules_do(name: str) -> None:
    without = json.dumps(body(**{name: ...})).encode()[:-1] + b', "' + name.encode() + b'": '
    for value in (*NUMBERS, *TEXTS, *OTHERS):
        records = log(raw_event(id="before"), without + value + b"}")
        assert_agrees(records, [records])


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("tokens", b"1"),
        ("tokens", b"1.5"),
        ("user", b'"x"'),
        ("user", b"1"),
        ("region", b"true"),
        ("flag", b"true"),
        ("usage", b'{"total": 1, "kind": "x"}'),
        ("unread", b"1"),
    ],
    ids=repr,
)
def test_reads_data_as_the_exact_rules_do(name: str, usual: bytes) -> None:
    """`usual` decides as what the path is read."""
    for value in (*NUMBERS, *TEXTS, *OTHERS):
        values = [usual, usual, usual, value, usual]
        raws = [raw_event(id=f"e-{number}", data={}) for number in range(len(values))]
        data = [b'{"' + name.encode() + b'": ' + given + b', "odd name": 2}' for given in values]
        records = log(*(raw.replace(b"{}", given) for raw, given in zip(raws, data, strict=True)))
        assert_agrees(records, [records])


def test_reads_times_as_the_exact_rules_do() -> None:
    for value in TIMES:
        raw = raw_event(time=...)[:-1] + b', "time":' + value + b"}"
        records = log(raw, raw_event(id="after", time="2026-11-23T09:59:59.999Z"))
        assert_agrees(records, [records])


def test_reads_common_events_in_columns_only() -> None:
    raws = [raw_event(id=f"e-{number}", data={"tokens": number, "user": "é"}, extra=["x", {}]) for number in range(50)]
    decoded = BlockDecoder(CATALOGUE, partitions=1).decode(as_batch(log(*raws), 0))
    assert len(decoded.events) == 50
    assert decoded.exact == {}


@pytest.mark.parametrize("usual", [1.5, "2.50", 3])
def test_soon_reads_what_is_usual_in_columns(usual: object) -> None:
    """A first look at whole numbers, or none, must not slow the rest of the log down."""
    decoder = BlockDecoder(CATALOGUE, partitions=1)
    first = [raw_event(id=f"first-{number}", data={"tokens": 1}) for number in range(100)]
    later = [raw_event(id=f"later-{number}", data={"tokens": usual}) for number in range(100)]
    decoder.decode(as_batch(log(*first), 0))
    decoder.decode(as_batch(log(*later), 0))
    assert decoder.decode(as_batch(log(*later), 0)).exact == {}


def test_one_bad_record_sends_few_others_to_the_exact_rules() -> None:
    raws: list[bytes] = [raw_event(id=f"e-{number}", data={"tokens": 1}) for number in range(4_100)]
    raws[17] = raws[17].replace(b'"tokens": 1', b'"tokens": "x"')
    decoded = BlockDecoder(CATALOGUE, partitions=1).decode(as_batch(log(*raws), 0))
    assert len(decoded.events) == len(raws)
    assert len(decoded.exact) <= 8


def test_forwards_what_is_not_at_home_and_rejects_what_never_gets_there() -> None:
    home = home_partition("customer-1", 8)
    unknown = LogRecord(1, ARRIVAL_MS, raw_event(), b"nobody")  # decided at home, not here
    astray = LogRecord(2, ARRIVAL_MS, raw_event(), b"acme", str(ARRIVAL_MS).encode())
    broken = LogRecord(3, ARRIVAL_MS, b"{", b"acme")
    records = [*log(raw_event()), unknown, astray, broken]
    decoded = BlockDecoder(CATALOGUE, partitions=8).decode(as_batch(records, home ^ 1))
    assert decoded.forwards == [(0, home), (1, home)]
    assert {letter.row: letter.code for letter in decoded.rejected} == {2: Code.NOT_AT_HOME, 3: Code.INVALID_JSON}
    assert len(decoded.events) == 0


def test_takes_meters_and_organizations_in_force_at_the_first_position() -> None:
    later = Organization(id="00000000-0000-0000-0000-00000000000c", slug="later", effective_positions=(5,))
    short = meter("COUNT", id="short", effective_positions=(2,), archived_positions=(6,))
    catalogue = Catalogue(1, (ORGANIZATION, later), (short,))
    records = [LogRecord(offset, ARRIVAL_MS, raw_event(id=str(offset)), b"acme") for offset in range(8)]
    records += [LogRecord(offset, ARRIVAL_MS, raw_event(id=str(offset)), b"later") for offset in (8,)]
    blocks = [records[:2], records[2:6], records[6:]]
    counter = count_in_blocks(blocks, catalogue)
    assert counter.totals == recount(0, 1, records, catalogue).totals
    assert [total.events for total in counter.totals.values()] == [4]
    early = [LogRecord(0, ARRIVAL_MS, raw_event(), b"later")]
    assert [verdict.outcome for verdict in count_in_blocks([early], catalogue).verdicts] == [Outcome.REJECTED]


def test_an_empty_block_is_nothing() -> None:
    counter = count_in_blocks([[]], CATALOGUE)
    assert counter.verdicts == []
    assert counter.totals == {}


def test_a_dead_letter_belongs_to_whom_the_record_names() -> None:
    raws = [b"no JSON", raw_event(time="2001-01-01T00:00:00Z", organization="other"), b"{}"]
    records = [
        LogRecord(0, ARRIVAL_MS, raws[0], b"acme"),
        *(LogRecord(number, ARRIVAL_MS, raws[number], None) for number in (1, 2)),
    ]
    batch = as_batch(records, 0)
    decoded = BlockDecoder(HOSTILE, partitions=1).decode(batch)
    owners = {letter.code: letter.organization_id for letter in decoded.rejected}
    assert owners == {Code.INVALID_JSON: ORGANIZATION.id, Code.TIME_TOO_OLD: OTHER.id, Code.MISSING_FIELD: None}
