"""What the stack says: numbers from Postgres, from ClickHouse's tables, and over HTTP, in the recount's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from devstack.demo.meters import DemoMeter
from devstack.demo.recount import ALL, Cell, Cut, Numbers
from metering.meters import Aggregation
from sinks.http_api.client import ApiClient
from sinks.recounts import HourKey, HourTotal

Hours = Mapping[HourKey, HourTotal]


def hourly_numbers(hours: Hours, meter: DemoMeter) -> Numbers:
    """Return a meter's number of every customer and hour."""
    aggregation = Aggregation(meter.aggregation)
    values = {
        Cell(key.hour, key.subject): total.value(aggregation) for key, total in hours.items() if key.meter == meter.slug
    }
    return {cell: value for cell, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class QueryApi:
    """`GET /meters/{slug}/query`, over all the time that the demo's events may have."""

    api: ApiClient
    from_at: datetime
    to_at: datetime

    async def numbers(self, meter: DemoMeter, cut: Cut) -> Numbers:
        """Return a meter's number in every cell that has one."""
        parameters = [("from", _text(self.from_at)), ("to", _text(self.to_at)), ("window_time_zone", cut.zone)]
        if cut.window is not None:
            parameters.append(("window_size", cut.window))
        if cut.by is not None:
            parameters.append(("group_by", "subject" if cut.by == "customer" else cut.by))
        answer = await self.api.get(f"/meters/{meter.slug}/query", parameters)
        return {
            Cell(
                None if cut.window is None else datetime.fromisoformat(row["window_start"]),
                _name(row, cut),
            ): Decimal(str(row["value"]))
            for row in answer["data"]
        }


def query_api(api: ApiClient, now: datetime) -> QueryApi:
    """Ask for whole hours around everything that can count."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return QueryApi(api, hour - timedelta(days=36), hour + timedelta(hours=2))


def _name(row: Mapping[str, object], cut: Cut) -> str:
    if cut.by is None:
        return ALL
    if cut.by == "customer":
        return str(row["subject"])
    groups = row["group_by"]
    assert isinstance(groups, dict)
    return str(groups[cut.by])


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
