"""Adds a block's deltas to the totals, inside the block's transaction."""

from __future__ import annotations

import numpy as np
import psycopg
from numpy.typing import NDArray

from metering.blocks import MeterDeltas
from sinks.postgres.queries import load

# About 150 MB of subjects and numbers a worker; then begun anew, at the price of one look-up a series.
_SERIES_CACHED = 1_000_000
_ADD = {"MIN": "add_smallest", "MAX": "add_largest", "LATEST": "add_latest"}
_SQL = load("blocks")


class TotalsWriter:
    """Upserts totals by series number; remembers the numbers of one partition's series."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._series: dict[str, dict[str, int]] = {}
        self._cached = 0

    def forget(self) -> None:
        """Drop the remembered numbers: after a rollback some of them are nobody's."""
        self._series, self._cached = {}, 0

    def add(self, deltas: MeterDeltas) -> None:
        """Add one meter's deltas, in primary-key order."""
        unique = deltas.value_hashes
        series = self._numbers_of(deltas, deltas.subjects if unique is None else [*deltas.subjects, *unique[0]])
        self._add_buckets(deltas, np.array([series[subject] for subject in deltas.subjects], dtype=np.int64))
        if unique is not None:
            subjects, minutes, hashes = unique
            rows = sorted(zip([series[subject] for subject in subjects], minutes.tolist(), hashes, strict=True))
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._connection.execute(
                _SQL["add_values"], dict(zip(("series", "minutes", "hashes"), columns, strict=True))
            )

    def _numbers_of(self, deltas: MeterDeltas, subjects: list[str]) -> dict[str, int]:
        if self._cached > _SERIES_CACHED:
            self.forget()
        series = self._series.setdefault(deltas.meter_id, {})
        missing = sorted(set(subjects) - series.keys())
        if missing:
            key = {"meter_id": deltas.meter_id, "subjects": missing}
            self._connection.execute(_SQL["add_series"], {**key, "organization_id": deltas.organization_id})
            series.update(self._connection.execute(_SQL["find_series"], key).fetchall())
            self._cached += len(missing)
        return series

    def _add_buckets(self, deltas: MeterDeltas, series: NDArray[np.int64]) -> None:
        order = np.lexsort((deltas.minutes, series))
        values = {
            "series": _array(series[order]),
            "minutes": _array(deltas.minutes[order]),
            "quantities": _texts(deltas.quantities, order),
            "events": _array(deltas.events[order]),
        }
        if deltas.latest_times_us is not None and deltas.latest_offsets is not None:
            values["times_us"] = _array(deltas.latest_times_us[order])
            values["offsets"] = _array(deltas.latest_offsets[order])
        self._connection.execute(_SQL[_ADD.get(deltas.aggregation, "add_sums")], values)


def _array(column: NDArray[np.int64]) -> str:
    """Return an array literal: Postgres parses it faster than psycopg adapts a list."""
    return "{" + ",".join(map(str, column.tolist())) + "}"


def _texts(column: list[str] | None, order: NDArray[np.int64]) -> str:
    if column is None:
        return "{" + ",".join(["null"] * len(order)) + "}"
    return "{" + ",".join([column[row] for row in order.tolist()]) + "}"
