"""Counts the log again, one record at a time, and holds both stores and the ledger against it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import clickhouse_connect
import numpy as np
import psycopg
from clickhouse_connect.driver.client import Client

from metering.blocks import Outcome
from metering.catalogue import Catalogue
from metering.events import UsageEvent, parse_event, read_first_arrival, read_organization_header
from metering.meters import Aggregation
from metering.recount import LogRecord, MemoryCounter, merge_totals, recount
from metering.rejections import Rejection
from metering.totals import Partial, combine
from runtime.settings import Settings
from sinks.postgres.access import open_postgres
from sinks.postgres.blocks import RECORD_LEVEL, unpack_counted
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.ledger import find_differences
from sinks.postgres.pool import connect
from tests.faults.events import Identity
from tests.faults.log_copy import read_log

_QUARTER = 15
Row = tuple[Any, ...]
_PLACES = {
    Aggregation.COUNT: 4,
    Aggregation.SUM: 5,
    Aggregation.AVG: 5,
    Aggregation.MIN: 6,
    Aggregation.MAX: 7,
    Aggregation.LATEST: 8,
    Aggregation.UNIQUE_COUNT: 9,
}
"""Where a rollup's row has the number of a meter."""


@dataclass(frozen=True)
class Recount:
    """What the log says, by the slow rules."""

    log: list[list[LogRecord]]
    counters: list[MemoryCounter]

    def outcomes(self) -> Counter[Outcome]:
        """Return how many records had each outcome."""
        return Counter(verdict.outcome for counter in self.counters for verdict in counter.verdicts)

    def codes(self) -> Counter[str]:
        """Return the dead letters by code, those of meters too."""
        verdicts = [verdict for counter in self.counters for verdict in counter.verdicts]
        return Counter(
            [str(verdict.rejection.code) for verdict in verdicts if verdict.rejection is not None]
            + [str(skip.code) for verdict in verdicts for _, skip in verdict.skips]
        )

    def counted_identities(self) -> Counter[Identity]:
        """Return how often each identity was counted: never more than once."""
        return Counter(
            _identity(record)
            for records, counter in zip(self.log, self.counters, strict=True)
            for record, verdict in zip(records, counter.verdicts, strict=True)
            if verdict.outcome is Outcome.COUNTED
        )


def recount_log(settings: Settings, topic: str) -> Recount:
    """Read the whole log and count it."""
    with connect(settings.postgres, service="test") as connection:
        catalogue: Catalogue = read_catalogue(connection)
    log = read_log(settings.kafka, topic)
    partitions = settings.kafka.partitions
    counters = [
        recount(partition, partitions, records, catalogue, settings.worker.default_organization)
        for partition, records in enumerate(log)
    ]
    return Recount(log, counters)


def assert_postgres(settings: Settings, topic: str, expected: Recount) -> None:
    """Hold journal, totals, dead letters and ledger against the recount."""
    with connect(settings.postgres, service="test") as connection:
        _assert_journal(connection, topic, expected)
        _assert_dead_letters(connection, topic, expected)
        _assert_totals(connection, expected)
    differences = asyncio.run(_ledger(settings, topic))
    assert not differences, "\n".join(differences)


def assert_clickhouse(settings: Settings, topic: str, expected: Recount) -> None:
    """Hold the stored events and the rollup against the recount."""
    password = settings.clickhouse.password
    client = clickhouse_connect.get_client(
        dsn=settings.clickhouse.url,
        username=settings.clickhouse.user,
        password="" if password is None else password.get_secret_value(),
        database=settings.clickhouse.database,
    )
    try:
        rows = _ask(client, "select partition, offset, body from usage_events")
        stored = {(partition, offset): body.encode() for partition, offset, body in rows}
        assert len(stored) == len(rows), f"{len(rows) - len(stored)} events are stored twice"
        _same("events in ClickHouse", stored, _expected_bodies(expected))
        totals = merge_totals(expected.counters)
        aggregations = {key.meter_id: total.aggregation for key, total in totals.items()}
        _same("rollup", _rollup(client, aggregations), _expected_rollup(expected))
    finally:
        client.close()
    with connect(settings.postgres, service="test") as connection:
        loaded = _rows(
            connection, "select partition, max(to_position) from warehouse_loads where state = 'done' group by 1"
        )
        journaled = _rows(connection, "select partition, max(to_position) from stream_blocks group by 1")
        _same("loads", dict(loaded), dict(journaled))


def _assert_journal(connection: psycopg.Connection, topic: str, expected: Recount) -> None:
    blocks: dict[int, list[Row]] = {}
    for partition, *block in _rows(
        connection,
        "select partition, from_position, to_position, records, counted, duplicates, rejected, forwarded, counted_bits"
        " from stream_blocks where topic = %s order by partition, from_position",
        topic,
    ):
        blocks.setdefault(partition, []).append(tuple(block))
    for partition, counter in enumerate(expected.counters):
        at = 0
        verdicts = counter.verdicts
        offsets = np.array([verdict.offset for verdict in verdicts], np.int64)
        for start, end, records, *counts, bits in blocks.get(partition, []):
            assert start == at, f"partition {partition}: a block begins at {start}, the one before ended at {at}"
            low, high = np.searchsorted(offsets, [start, end])
            found = [verdict.outcome for verdict in verdicts[low:high]]
            wanted = [found.count(outcome) for outcome in Outcome]
            assert [records, *counts] == [len(found), *wanted], f"partition {partition}, block [{start}, {end})"
            counted = [outcome is Outcome.COUNTED for outcome in found]
            assert unpack_counted(bits, records).tolist() == counted, f"partition {partition}, block [{start}, {end})"
            at = end
        assert not len(offsets) or offsets[-1] < at, f"partition {partition} is counted up to {at} of {offsets[-1] + 1}"


def _assert_dead_letters(connection: psycopg.Connection, topic: str, expected: Recount) -> None:
    stored = {
        (partition, offset, meter): (code, message, None if raw is None else bytes(raw), size)
        for partition, offset, meter, code, message, raw, size in _rows(
            connection,
            'select partition, "offset", meter_id::text, code, message, raw, raw_bytes from dead_letters'
            " where topic = %s",
            topic,
        )
    }
    wanted: dict[Row, Row] = {}
    for partition, (records, counter) in enumerate(zip(expected.log, expected.counters, strict=True)):
        for record, verdict in zip(records, counter.verdicts, strict=True):
            raw = record.raw or b""
            kept = (raw[:65_536], len(raw))
            if verdict.rejection is not None:
                reason = (str(verdict.rejection.code), verdict.rejection.message)
                wanted[partition, verdict.offset, RECORD_LEVEL] = (*reason, *kept)
            for meter_id, skip in verdict.skips:
                wanted[partition, verdict.offset, meter_id] = (str(skip.code), skip.message, *kept)
    _same("dead letters", _without_messages(stored), _without_messages(wanted))


def _without_messages(letters: dict[Row, Row]) -> dict[Row, Row]:
    # Messages are for people: NUL and surrogates are replaced in them.
    return {key: (code, raw, size) for key, (code, _, raw, size) in letters.items()}


def _assert_totals(connection: psycopg.Connection, expected: Recount) -> None:
    buckets = {
        (organization, subject, meter, minute): (quantity, events, latest)
        for organization, subject, meter, minute, quantity, events, latest in _rows(
            connection,
            "select organization_id::text, subject, meter_id::text, (extract(epoch from minute) / 60)::bigint,"
            " quantity, events, case when latest_offset is null then null"
            " else array[latest_time_us, latest_offset] end from usage_minutes",
        )
    }
    totals = merge_totals(expected.counters)
    wanted = {
        tuple(key): (
            total.quantity,
            total.events,
            None if total.latest is None else [total.latest.time_us, total.latest.offset],
        )
        for key, total in totals.items()
    }
    _same("totals in Postgres", buckets, wanted)
    values = {
        (organization, subject, meter, minute, bytes(value))
        for organization, subject, meter, minute, value in _rows(
            connection,
            "select s.organization_id::text, s.subject, s.meter_id::text,"
            " (extract(epoch from v.minute) / 60)::bigint, v.value_hash"
            " from usage_values v join usage_series s on s.id = v.series_id",
        )
    }
    _same("values", values, {(*key, value) for key, total in totals.items() for value in total.value_hashes})


async def _ledger(settings: Settings, topic: str) -> list[str]:
    async with open_postgres(settings.postgres, service="test") as connection:
        return [str(difference) for difference in await find_differences(connection, topic, whole_log=True)]


def _expected_bodies(expected: Recount) -> dict[Row, bytes]:
    return {
        (counter.partition, record.offset): record.raw or b""
        for records, counter in zip(expected.log, expected.counters, strict=True)
        for record, verdict in zip(records, counter.verdicts, strict=True)
        if verdict.outcome is Outcome.COUNTED
    }


def _rollup(client: Client, aggregations: Mapping[str, Aggregation]) -> dict[Row, Row]:
    rows = _ask(
        client,
        "select toString(organization_id), subject, toString(meter_id), intDiv(toUnixTimestamp(quarter_at), 900),"
        " sum(events), sum(total), min(smallest), max(largest), argMaxIfMerge(latest), uniqExactMerge(uniques)"
        " from meter_values_quarter_hourly group by 1, 2, 3, 4",
    )
    return {tuple(row[:4]): (row[4], row[_PLACES[aggregations[row[2]]]]) for row in rows}


def _expected_rollup(expected: Recount) -> dict[Row, Row]:
    quarters: dict[Row, list[Partial]] = {}
    for key, total in merge_totals(expected.counters).items():
        quarters.setdefault((*key[:3], key.minute // _QUARTER), []).append(total)
    rollup: dict[Row, Row] = {}
    for place, parts in quarters.items():
        whole = combine(parts[0].aggregation, parts)
        number = whole.quantity if whole.aggregation is Aggregation.AVG else whole.value()
        rollup[place] = (whole.events, number)
    return rollup


def _ask(client: Client, statement: str) -> Sequence[Row]:
    rows: Sequence[Row] = client.query(statement).result_rows
    return rows


def _rows(connection: psycopg.Connection, statement: LiteralString, *values: object) -> list[Row]:
    return connection.execute(statement, values).fetchall()


def _identity(record: LogRecord) -> Identity:
    slug = read_organization_header(record.organization)
    arrival_ms = read_first_arrival(record.first_arrival, record.arrival_ms)
    assert not isinstance(slug, Rejection)
    assert not isinstance(arrival_ms, Rejection)
    event = parse_event(record.raw, organization=slug, arrival_ms=arrival_ms)
    assert isinstance(event, UsageEvent)
    return Identity(event.organization, event.subject, event.source, event.id)


def _same(what: str, found: Any, wanted: Any) -> None:
    """Compare two sets or dictionaries, and show a few differences only."""
    if found == wanted:
        return
    missing, extra = wanted - found if isinstance(wanted, set) else wanted.keys() - found.keys(), None
    extra = found - wanted if isinstance(wanted, set) else found.keys() - wanted.keys()
    lines = [f"{what}: {len(missing)} missing, {len(extra)} too many"]
    lines += [f"  missing {key}" for key in sorted(missing, key=str)[:5]]
    lines += [f"  too many {key}" for key in sorted(extra, key=str)[:5]]
    if isinstance(wanted, dict):
        other = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
        lines.append(f"  {len(other)} differ")
        lines += [f"  {key}: found {found[key]}, recounted {wanted[key]}" for key in sorted(other, key=str)[:5]]
    raise AssertionError("\n".join(lines))
