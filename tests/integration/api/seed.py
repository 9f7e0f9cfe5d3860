"""Puts events and readings into ClickHouse as the warehouse does, without a log."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from metering.exact_json import loads
from metering.meters import Meter
from metering.readings import Reading, read_meter, unique_hash
from sinks.clickhouse.client import connect
from sinks.clickhouse.loads import EVENT_COLUMNS, VALUE_COLUMNS, LoadWriter
from tests.integration.api.service import Service

# Of no load in Postgres: the ledger compares those with what is here.
_load_ids = itertools.count(1_000_000)
_offsets = itertools.count(0)


def store_events(
    service: Service, organization_id: str, bodies: Sequence[dict[str, Any]], *, meters: Sequence[Meter] = ()
) -> None:
    """Store events (defaults filled in) and what the meters read from them."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    events, values = [], []
    for body in bodies:
        full = {"type": "llm.request", "source": "test", "subject": "customer-1", "time": now.isoformat()} | body
        at_us = int(datetime.fromisoformat(full["time"]).timestamp()) * 1_000_000
        event = {
            "organization_id": organization_id,
            "event_type": full["type"],
            "subject": full["subject"],
            "source": full["source"],
            "event_id": full["id"],
            "time": at_us,
            "arrival_at": at_us // 1000,
            "partition": 0,
            "offset": next(_offsets),
            "body": json.dumps(full).encode(),
        }
        events.append(event)
        for meter in meters:
            reading = read_meter(meter, loads(event["body"])["data"])
            if isinstance(reading, Reading):
                values.append(_value(meter, event, reading))
    client = connect(service.settings.clickhouse, service="test")
    try:
        writer = LoadWriter(client, service.topic)
        writer.write(next(_load_ids), _table(EVENT_COLUMNS, events), _table(VALUE_COLUMNS, values))
    finally:
        client.close()


def _value(meter: Meter, event: dict[str, Any], reading: Reading) -> dict[str, Any]:
    return {
        **{name: event[name] for name in ("organization_id", "subject", "time", "partition", "offset")},
        "meter_id": meter.id,
        "aggregation": str(meter.aggregation),
        "value": reading.quantity or Decimal(0),
        "value_hash": None if reading.text is None else unique_hash(reading.text),
        "group_values": list(reading.groups),
    }


def _table(columns: dict[str, Any], rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in columns.items()})
