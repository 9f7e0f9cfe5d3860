"""The warehouse's rows are the counted events and, exactly, what `readings.read_meter` reads from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from metering.blocks import Outcome
from metering.catalogue import Catalogue
from metering.decode import BlockDecoder
from metering.events import UsageEvent, parse_event
from metering.readings import Reading, read_meter, unique_hash
from metering.recount import LogRecord, recount
from metering.warehouse_rows import events_table, meter_values_table
from sinks.clickhouse.loads import EVENT_COLUMNS, VALUE_COLUMNS
from tests.unit.metering.blocks import as_batch
from tests.unit.metering.builders import ARRIVAL_MS, ORGANIZATION, raw_event
from tests.unit.metering.hostile import METERS, logs

HOSTILE = Catalogue(version=1, organizations=(ORGANIZATION,), meters=METERS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def values_exactly(records: list[LogRecord], counted: list[bool]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for meter in sorted(METERS, key=lambda meter: meter.id):
        for record, is_counted in zip(records, counted, strict=True):
            if not is_counted:
                continue
            arrival_ms = int(record.first_arrival) if record.first_arrival else record.arrival_ms
            header = None if record.organization is None else record.organization.decode()
            event = parse_event(record.raw, organization=header, arrival_ms=arrival_ms)
            assert isinstance(event, UsageEvent)
            reading = read_meter(meter, event.data) if event.type == meter.event_type else None
            if isinstance(reading, Reading):
                value = Decimal(0) if reading.quantity is None else reading.quantity
                value_hash = None if reading.text is None else unique_hash(reading.text)
                rows.append((meter.id, event.subject, event.time_us, record.offset, value, value_hash, reading.groups))
    return rows


@settings(max_examples=100)
@given(records=logs())
def test_values_are_what_the_exact_rules_read(records: list[LogRecord]) -> None:
    verdicts = recount(0, 1, records, HOSTILE).verdicts
    counted = [verdict.outcome is Outcome.COUNTED for verdict in verdicts]
    decoded = BlockDecoder(HOSTILE, partitions=1).decode(as_batch(records, 0))
    table = meter_values_table(decoded, np.array(counted))
    rows = [
        (
            row["meter_id"],
            row["subject"],
            (row["time"] - EPOCH) // timedelta(microseconds=1),
            row["offset"],
            row["value"],
            row["value_hash"],
            tuple(row["group_values"]),
        )
        for row in table.to_pylist()
    ]
    assert sorted(rows, key=repr) == sorted(values_exactly(records, counted), key=repr)
    assert events_table(decoded, np.array(counted))["offset"].to_pylist() == [
        record.offset for record, is_counted in zip(records, counted, strict=True) if is_counted
    ]


def test_events_come_whole_and_in_the_columns_that_loads_bring() -> None:
    raws = [raw_event(), raw_event(id="e-2", authorization="hold-1"), b"{"]
    records = [LogRecord(place, ARRIVAL_MS + place, raw, b"acme") for place, raw in enumerate(raws)]
    decoded = BlockDecoder(HOSTILE, partitions=1).decode(as_batch(records, 0))
    events = events_table(decoded, np.array([False, True, False]))
    assert events.to_pylist() == [
        {
            "organization_id": ORGANIZATION.id,
            "event_type": "request",
            "subject": "customer-1",
            "source": "app",
            "event_id": "e-2",
            "authorization": "hold-1",
            "time": datetime(2026, 11, 23, 10, tzinfo=UTC),
            "arrival_at": EPOCH + timedelta(milliseconds=ARRIVAL_MS + 1),
            "partition": 0,
            "offset": 1,
            "body": raws[1],
        }
    ]
    assert events.select(list(EVENT_COLUMNS)).schema == pa.schema(EVENT_COLUMNS)
    assert meter_values_table(decoded, np.array([True, True, False])).schema == pa.schema(VALUE_COLUMNS)
    assert meter_values_table(decoded, np.array([False] * 3)).schema == pa.schema(VALUE_COLUMNS)
