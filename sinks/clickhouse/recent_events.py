"""Reads a tenant's newest events of a type: what a new meter is tried out on."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from sinks.clickhouse.client import query
from sinks.clickhouse.queries import load


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it came."""

    partition: int
    offset: int
    event_id: str
    body: bytes


def recent_events(client: Client, *, organization_id: str, event_type: str, limit: int) -> list[StoredEvent]:
    """Return the newest events of a type by event time, newest first."""
    parameters = {"organization_id": organization_id, "event_type": event_type, "limit": limit}
    rows = query(client, load("recent_events")["recent_events"], parameters)
    return [
        StoredEvent(partition, offset, event_id, body.encode() if isinstance(body, str) else body)
        for partition, offset, event_id, body in rows
    ]
