"""A batch's usable events in columns: by Arrow where it surely reads as the exact rules do, one by one elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.arrow_arrays import as_array
from metering.columns import ColumnReader, ReadPlan
from metering.envelopes import keeps_rules, read_times
from metering.events import MAX_EVENT_BYTES, UsageEvent, parse_event, read_first_arrival
from metering.organizations import NONE, Slugs, choose_slugs, read_headers
from metering.read_plans import ReadPlanner
from metering.records import RecordBatch
from metering.rejections import Rejection

TEXTS: Final = ("id", "source", "type", "subject", "authorization")
_SHORTEST: Final = len("{}")


@dataclass(slots=True)
class EventColumns:
    """The events of a batch whose envelope holds, oldest first, and why the other records' does not."""

    arrivals_ms: NDArray[np.int64]
    """Of every record of the batch, as it decides: a forwarded record's first arrival, else the broker's."""
    plan: ReadPlan
    table: pa.Table
    """`row` (index into the batch), TEXTS, and the plan's paths by their places (null where `exact` has data)."""
    slug: NDArray[np.int64]
    """Of each event, the organization's slug by its number in `slugs`."""
    times_us: NDArray[np.int64]
    slugs: Slugs
    rejections: dict[int, Rejection]
    """By row."""
    exact: dict[int, Mapping[str, Any]]
    """By row: the data of events that Arrow did not read."""


def read_events(batch: RecordBatch, planner: ReadPlanner, default_organization: str | None) -> EventColumns:
    """Read a batch; the answer is that of `events.parse_event`, record by record."""
    return _Reading(batch, planner, default_organization).run()


@dataclass(slots=True)
class _Exact:
    """Events that were read one by one, in the order of their rows."""

    rows: list[int] = field(default_factory=list)
    events: list[UsageEvent] = field(default_factory=list)


class _Reading:
    def __init__(self, batch: RecordBatch, planner: ReadPlanner, default_organization: str | None) -> None:
        self._batch = batch
        self._planner = planner
        self._default = default_organization
        self._slugs = Slugs()
        headers = read_headers(batch.organizations, self._slugs)
        self._header_slugs = headers.numbers
        self._rejections = headers.rejections
        self._arrivals_ms = self._read_arrivals()
        self._plan = planner.plan_for(batch.partition, batch.from_position, batch.values)

    def run(self) -> EventColumns:
        table, slug, times_us = self._read_in_columns()
        exact = self._read_exactly(table["row"].to_numpy())
        if exact.rows:
            table = pa.concat_tables([table, self._as_table(exact, table.schema)]).combine_chunks()
            slug = np.append(slug, [self._slugs.number(event.organization) for event in exact.events])
            times_us = np.append(times_us, [event.time_us for event in exact.events])
            order = np.argsort(table["row"].to_numpy())
            table, slug, times_us = table.take(order), slug[order], times_us[order]
        data = {row: event.data for row, event in zip(exact.rows, exact.events, strict=True)}
        self._planner.look_again(data.values(), len(data), len(self._batch))
        return EventColumns(
            arrivals_ms=self._arrivals_ms,
            plan=self._plan,
            table=table,
            slug=slug,
            times_us=times_us,
            slugs=self._slugs,
            rejections=self._rejections,
            exact=data,
        )

    def _read_arrivals(self) -> NDArray[np.int64]:
        headers = self._batch.first_arrivals
        if headers.count(None) == len(headers):
            return self._batch.arrivals_ms
        arrivals_ms = self._batch.arrivals_ms.copy()
        for row, header in enumerate(headers):
            arrival_ms = read_first_arrival(header, int(arrivals_ms[row]))
            if isinstance(arrival_ms, Rejection):
                self._rejections[row] = arrival_ms  # decided before the other header
            else:
                arrivals_ms[row] = arrival_ms
        return arrivals_ms

    def _read_in_columns(self) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
        table = ColumnReader(self._plan).read(*self._readable())
        rows = table["row"].to_numpy()
        sound = keeps_rules(table)
        slug, named = choose_slugs(
            self._header_slugs[rows], as_array(table["organization"]), self._default, self._slugs
        )
        times_us, timely = read_times(table, self._arrivals_ms[rows])
        sound &= named & timely
        kept = table.select(["row", *TEXTS, *(str(place) for place in range(len(self._plan.kinds)))])
        if sound.all():
            return kept, slug, times_us
        return kept.filter(pa.array(sound)).combine_chunks(), slug[sound], times_us[sound]

    def _readable(self) -> tuple[list[bytes], NDArray[np.int64]]:
        """Return the records that may be read in columns, and their rows."""
        values = [value or b"" for value in self._batch.values]
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        readable = (lengths >= _SHORTEST) & (lengths <= MAX_EVENT_BYTES)
        if self._rejections:
            readable[list(self._rejections)] = False
        rows = np.flatnonzero(readable)
        return (values if len(rows) == len(values) else [values[row] for row in rows.tolist()]), rows

    def _read_exactly(self, already: NDArray[np.int64]) -> _Exact:
        """Read the rows that are neither rejected nor `already` read."""
        left = np.ones(len(self._batch), np.bool_)
        left[already] = False
        if self._rejections:
            left[list(self._rejections)] = False
        read = _Exact()
        for row in np.flatnonzero(left).tolist():
            header = int(self._header_slugs[row])
            event = parse_event(
                self._batch.values[row],
                organization=None if header == NONE else self._slugs.texts[header],
                arrival_ms=int(self._arrivals_ms[row]),
                default_organization=self._default,
            )
            if isinstance(event, Rejection):
                self._rejections[row] = event
            else:
                read.rows.append(row)
                read.events.append(event)
        return read

    def _as_table(self, exact: _Exact, schema: pa.Schema) -> pa.Table:
        columns = {"row": pa.array(exact.rows, pa.int64())}
        columns |= {name: pa.array([getattr(event, name) for event in exact.events], pa.string()) for name in TEXTS}
        columns |= {field.name: pa.nulls(len(exact.rows), field.type) for field in schema if field.name not in columns}
        return pa.table(columns, schema=schema)
