"""Readings as rows of a load, for tests that fill ClickHouse without a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from metering.meters import Meter
from metering.readings import Reading, unique_hash
from metering.totals import Place
from sinks.clickhouse.loads import EVENT_COLUMNS, VALUE_COLUMNS


@dataclass(frozen=True)
class Used:
    """One event and what a meter read from it."""

    subject: str
    place: Place
    reading: Reading


def values_table(meter: Meter, used: Sequence[Used]) -> pa.Table:
    """Return rows of `meter_values`."""
    return _table(
        VALUE_COLUMNS,
        [
            {
                "organization_id": meter.organization_id,
                "meter_id": meter.id,
                "aggregation": str(meter.aggregation),
                "subject": one.subject,
                "time": one.place.time_us,
                "partition": one.place.partition,
                "offset": one.place.offset,
                "value": one.reading.quantity or Decimal(0),
                "value_hash": None if one.reading.text is None else unique_hash(one.reading.text),
                "group_values": list(one.reading.groups),
            }
            for one in used
        ],
    )


def events_table(
    organization_id: str,
    places: Sequence[Place],
    *,
    subject: str = "customer-1",
    event_type: str = "request",
) -> pa.Table:
    """Return rows of `usage_events`; ids are `event-<offset>`, bodies are made of the id."""
    return _table(
        EVENT_COLUMNS,
        [
            {
                "organization_id": organization_id,
                "event_type": event_type,
                "subject": subject,
                "source": "app",
                "event_id": f"event-{place.offset}",
                "time": place.time_us,
                "arrival_at": place.time_us // 1000,
                "partition": place.partition,
                "offset": place.offset,
                "body": b'{"id": "event-%d"}\xff' % place.offset,
            }
            for place in places
        ],
    )


def _table(columns: dict[str, Any], rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in columns.items()})
