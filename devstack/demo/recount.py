"""The numbers as they must be, recounted from the file by polars alone: no code of the product takes part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final, NamedTuple

import polars as pl

from devstack.demo.meters import DemoMeter

ALL: Final = ""
_FRACTION = Decimal(1).scaleb(-18)
_VALUES: Final = {
    "SUM": lambda column: pl.col(column).sum(),
    "MAX": lambda column: pl.col(column).max(),
    "UNIQUE_COUNT": lambda column: pl.col(column).n_unique(),
    "LATEST": lambda column: pl.col(column).sort_by("time").last(),
}


class Cell(NamedTuple):
    """One number's place: a window's start (None: all time), and the customer or model (ALL: everybody)."""

    start: datetime | None
    name: str = ALL


Numbers = dict[Cell, Decimal]


@dataclass(frozen=True, slots=True)
class Cut:
    """How numbers are asked for."""

    by: str | None = None
    """customer, model or nothing."""
    window: str | None = None
    """HOUR, DAY or nothing."""
    zone: str = "UTC"


class Recount:
    """Counts requests of the trace, and the extra ones that only the meter of requests sees."""

    def __init__(self, requests: pl.DataFrame, counted_extras: pl.DataFrame) -> None:
        self._requests = requests
        self._all_requests = pl.concat(
            [requests.select("customer", "time"), counted_extras.select("customer", "time")], how="vertical"
        )

    def numbers(self, meter: DemoMeter, cut: Cut) -> Numbers:
        """Return a meter's number in every cell that has one."""
        frame = self._requests
        if meter.column is None and meter.above is None:
            frame = self._all_requests
        elif meter.above is not None:
            frame = frame.filter(pl.col("output_tokens") > meter.above)
        start = pl.lit(None, pl.Datetime("us", "UTC")) if cut.window is None else _window_start(cut)
        name = pl.lit(ALL) if cut.by is None else pl.col(cut.by)
        groups = frame.group_by(start.alias("start"), name.alias("name")).agg(
            pl.len().alias("events"), _value(meter).alias("value")
        )
        return {
            Cell(row["start"], row["name"]): _exact(meter, row["value"], row["events"]) for row in groups.to_dicts()
        }

    def total(self, column: str) -> int:
        """Return the sum of a column of the trace."""
        return int(self._requests[column].sum())


def _window_start(cut: Cut) -> pl.Expr:
    every = {"HOUR": "1h", "DAY": "1d"}[cut.window or "HOUR"]
    return pl.col("time").dt.convert_time_zone(cut.zone).dt.truncate(every).dt.convert_time_zone("UTC")


def _value(meter: DemoMeter) -> pl.Expr:
    if meter.column is None:
        return pl.len()
    aggregation = "SUM" if meter.aggregation == "AVG" else meter.aggregation
    return _VALUES[aggregation](meter.column)


def _exact(meter: DemoMeter, value: int, events: int) -> Decimal:
    if meter.aggregation != "AVG":
        return Decimal(value)
    with localcontext(prec=60):
        return (Decimal(value) / Decimal(events)).quantize(_FRACTION, ROUND_HALF_EVEN)
