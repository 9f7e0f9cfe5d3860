"""Reads whole organizations out of ClickHouse, to be compared with a recount."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from sinks.clickhouse.client import query
from sinks.clickhouse.queries import load
from sinks.recounts import HourKey, HourTotal

_SQL = load("recounts")


def read_rollup_hours(client: Client, organization_id: str, slugs: Mapping[str, str]) -> dict[HourKey, HourTotal]:
    """Return every total of the rollup, by meter, subject and hour; `slugs` names the meters' ids."""
    return _hours(client, "hours_of_rollup", organization_id, slugs)


def read_value_hours(client: Client, organization_id: str, slugs: Mapping[str, str]) -> dict[HourKey, HourTotal]:
    """Return the same, computed from every single value."""
    return _hours(client, "hours_of_values", organization_id, slugs)


def count_events(client: Client, organization_id: str) -> tuple[int, int]:
    """Return how many events are stored, and how many identities they have."""
    ((rows, identities),) = query(client, _SQL["count_events"], {"organization_id": organization_id})
    return int(rows), int(identities)


def _hours(client: Client, statement: str, organization_id: str, slugs: Mapping[str, str]) -> dict[HourKey, HourTotal]:
    rows = query(client, _SQL[statement], {"organization_id": organization_id})
    return {
        HourKey(slugs.get(meter_id, meter_id), subject, _utc(hour)): HourTotal(*numbers)
        for meter_id, subject, hour, *numbers in rows
    }


def _utc(hour: datetime) -> datetime:
    return hour.replace(tzinfo=UTC) if hour.tzinfo is None else hour.astimezone(UTC)
