"""Questions about usage: a meter's windows, its groups and subjects, and the events themselves. Used by the API.

Blocking; the client may be shared by threads, so the API calls these in its threads. Every statement names the
organization (G7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from string import Template
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from metering.meters import Aggregation, Meter
from metering.totals import average
from metering.windows import FIRST_INSTANT, WindowSize, load_zone
from runtime.errors import InvalidInput
from sinks.clickhouse.client import query
from sinks.clickhouse.queries import load
from sinks.clickhouse.window_runs import LAST_STORED, Span, WindowRuns, cut_windows, micros

SUBJECT: Final = "subject"
"""The group that every meter has."""
MAX_ROWS: Final = 50_000
"""A month of minutes of one subject; more is asked for in parts."""

_SQL = load("usage")
# Which of the blocks of usage.sql holds an aggregation's quantity.
_QUANTITY: Final = {
    Aggregation.SUM: "total",
    Aggregation.COUNT: "total",
    Aggregation.AVG: "total",
    Aggregation.MIN: "smallest",
    Aggregation.MAX: "largest",
    Aggregation.LATEST: "latest",
    Aggregation.UNIQUE_COUNT: "uniques",
}


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One number: of a window, of a subject when it was asked by subject, of one combination of groups."""

    value: Decimal | int
    window_start: datetime
    window_end: datetime
    subject: str | None
    group_by: dict[str, str]


@dataclass(frozen=True, slots=True)
class EventPlace:
    """Where an event stands in the order of a search; the next page begins after it."""

    time: datetime
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A counted event, as it came."""

    place: EventPlace
    id: str
    type: str
    source: str
    subject: str
    arrival_at: datetime
    body: bytes


def query_meter(
    client: Client,
    meter: Meter,
    *,
    organization_id: str,
    from_at: datetime,
    to_at: datetime,
    window_size: WindowSize | None = None,
    window_time_zone: str = "UTC",
    subjects: Sequence[str] = (),
    group_by: Sequence[str] = (),
    filter_group_by: Mapping[str, Sequence[str]] | None = None,
    max_rows: int = MAX_ROWS,
) -> list[UsageRow]:
    """Return a meter's exact numbers of [from_at, to_at), by window, subject and groups in that order.

    Windows are cut to the interval; without `window_size` it is one window. Windows without events have no row. Rows
    are by subject when `group_by` names it, or one subject is asked for. Raises: InvalidInput for unknown groups, for
    an interval that is empty or too long for its windows, and for more than `max_rows` rows.
    """
    runs = cut_windows(from_at, to_at, window_size, load_zone(window_time_zone), max_windows=max_rows)
    names = [name for name in group_by if name != SUBJECT]
    filters = dict(filter_group_by or {})
    places = _places(meter)
    rows = query(
        client,
        _statement(meter.aggregation),
        {
            "organization_id": organization_id,
            "meter_id": meter.id,
            "subjects": list(subjects),
            "by_subject": SUBJECT in group_by or len(subjects) == 1,
            "group_places": [_place(places, name, "group_by") for name in names],
            "filter_places": [_place(places, name, "filter_group_by") for name in filters],
            "filter_values": [list(values) for values in filters.values()],
            "limit": max_rows + 1,
            **_times(runs),
        },
    )
    if len(rows) > max_rows:
        raise InvalidInput(
            f"The answer has more than {max_rows} rows: ask for a shorter time, larger windows or fewer groups.",
            limit=max_rows,
        )
    return [_usage_row(meter.aggregation, runs, names, row) for row in rows]


def list_group_values(
    client: Client,
    meter: Meter,
    key: str,
    *,
    organization_id: str,
    from_at: datetime = FIRST_INSTANT,
    to_at: datetime = LAST_STORED,
    after: str | None = None,
    limit: int = 100,
) -> list[str]:
    """Return the values that a group of a meter has had, in order; "" where events had none.

    `after`: the last value of the page before. Whole quarter hours are looked at.
    """
    rows = query(
        client,
        _SQL["group_values"],
        {
            "organization_id": organization_id,
            "meter_id": meter.id,
            "place": _place(_places(meter), key, "key"),
            "from_us": micros(from_at),
            "to_us": micros(to_at),
            "is_first_page": after is None,
            "after": after or "",
            "limit": limit,
        },
    )
    return [str(row[0]) for row in rows]


def list_subjects(client: Client, *, organization_id: str, after: str = "", limit: int = 100) -> list[str]:
    """Return the subjects that any meter of the organization has read, in order, those after `after`."""
    rows = query(client, _SQL["subjects"], {"organization_id": organization_id, "after": after, "limit": limit})
    return [str(row[0]) for row in rows]


def find_events(
    client: Client,
    *,
    organization_id: str,
    event_id: str | None = None,
    subject: str | None = None,
    from_at: datetime = FIRST_INSTANT,
    to_at: datetime = LAST_STORED,
    before: EventPlace | None = None,
    limit: int = 100,
) -> list[StoredEvent]:
    """Return counted events of [from_at, to_at), newest first; `before` is the place of the last one of a page."""
    rows = query(
        client,
        _SQL["find_events"],
        {
            "organization_id": organization_id,
            "event_id": event_id or "",
            "subject": subject or "",
            "from_us": micros(from_at),
            "to_us": micros(to_at),
            "is_first_page": before is None,
            "before_us": 0 if before is None else micros(before.time),
            "before_topic": "" if before is None else before.topic,
            "before_partition": 0 if before is None else before.partition,
            "before_offset": 0 if before is None else before.offset,
            "limit": limit,
        },
        as_bytes=["body"],
    )
    return [_stored_event(row) for row in rows]


def _statement(aggregation: Aggregation) -> str:
    of_rollup, of_values, whole = (
        line for line in _SQL[_QUANTITY[aggregation]].splitlines() if not line.startswith("--")
    )
    return Template(_SQL["query_meter"]).substitute(of_rollup=of_rollup, of_values=of_values, whole=whole)


def _places(meter: Meter) -> dict[str, int]:
    return {name: place for place, name in enumerate(meter.group_by, start=1)}


def _place(places: Mapping[str, int], name: str, field: str) -> int:
    if name not in places:
        known = ", ".join([SUBJECT, *places])
        raise InvalidInput(f"The meter has no group {name[:64]!r}; it has {known}.", field=field)
    return places[name]


def _times(runs: WindowRuns) -> dict[str, Any]:
    quarters, head, tail = runs.parts()
    return {
        "run_starts": runs.starts_us,
        "run_lengths": runs.lengths_us,
        "atom_us": runs.atom_us,
        **_bounds("quarters", quarters),
        **_bounds("head", head),
        **_bounds("tail", tail),
    }


def _bounds(name: str, span: Span) -> dict[str, int]:
    return {f"{name}_from_us": span.start_us, f"{name}_to_us": span.end_us}


def _usage_row(aggregation: Aggregation, runs: WindowRuns, names: Sequence[str], row: Sequence[Any]) -> UsageRow:
    window_us, subject, groups, events, quantity = row
    value: Decimal | int = quantity
    if aggregation is Aggregation.COUNT:
        value = int(events)
    elif aggregation is Aggregation.AVG:
        value = average(quantity, int(events))
    start, end = runs.window(window_us)
    return UsageRow(value, start, end, subject or None, dict(zip(names, groups, strict=True)))


def _stored_event(row: Sequence[Any]) -> StoredEvent:
    topic, partition, offset, event_id, event_type, source, subject, time, arrival_at, body = row
    place = EventPlace(time, topic, int(partition), int(offset))
    return StoredEvent(place, event_id, event_type, source, subject, arrival_at, body)
