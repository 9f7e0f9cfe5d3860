"""What each meter reads from a block's counted events, in columns; `readings.read_meter` is the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metering.arrow_arrays import Mask, as_array, as_mask
from metering.blocks import DeadLetter
from metering.catalogue import Organization
from metering.columns import Kind
from metering.decode import DecodedBlock
from metering.filter_columns import matching
from metering.meters import Aggregation, Meter
from metering.paths import Path, parse_path
from metering.quantity_columns import Quantities, no_quantities
from metering.read_plans import paths_of
from metering.readings import MAX_GROUP_CHARS, MAX_UNIQUE_CHARS, Reading, read_meter
from metering.rejections import MeterSkip

_SAFE_INTEGER = 10**15


@dataclass(frozen=True, slots=True)
class MeterReadings:
    """What one meter read from a block, one row per event that it counts, oldest first."""

    meter: Meter
    organization: Organization
    events: NDArray[np.int64]
    """Places in `DecodedBlock.events`."""
    quantities: Quantities | None
    """For SUM, AVG, MIN, MAX and LATEST."""
    texts: pa.StringArray | None
    """For UNIQUE_COUNT: the values' canonical texts."""
    groups: list[pa.StringArray]
    """In the order of the meter's `group_by`, "" where the event has none."""

    def chosen(self, mask: Mask) -> MeterReadings:
        """Return some of the rows."""
        return replace(
            self,
            events=self.events[mask],
            quantities=None if self.quantities is None else self.quantities.chosen(mask),
            texts=None if self.texts is None else self.texts.filter(pa.array(mask)),
            groups=[group.filter(pa.array(mask)) for group in self.groups],
        )


def read_meters(decoded: DecodedBlock, counted: Mask) -> tuple[list[MeterReadings], list[DeadLetter]]:
    """Read the counted events with every meter in force; meters that read nothing are left out."""
    all_readings: list[MeterReadings] = []
    skips: list[DeadLetter] = []
    by_arrow = np.ones(len(decoded.events), np.bool_)
    if decoded.exact:
        by_arrow[np.isin(decoded.events.rows, list(decoded.exact))] = False
    for organization, meters, at in _metered(decoded, counted):
        for meter in meters:
            readings = _MeterReading(decoded, organization, meter, at, by_arrow).run(skips)
            if len(readings.events):
                all_readings.append(readings)
    return all_readings, skips


def _metered(
    decoded: DecodedBlock, counted: Mask
) -> Iterator[tuple[Organization, tuple[Meter, ...], NDArray[np.int64]]]:
    """Yield each organization and type of event that has meters, with its counted events."""
    events, batch = decoded.events, decoded.batch
    at = np.flatnonzero(counted)
    pairs = events.organization[at] * len(events.types.distinct) + events.types.places[at]
    if len(pairs) and (pairs[0] == pairs).all():
        groups = [at]
    else:
        order = np.argsort(pairs, kind="stable")
        groups = np.split(at[order], np.flatnonzero(np.diff(pairs[order])) + 1)
    for group in groups:
        if len(group):
            organization = events.organization_of(group[0])
            event_type = events.types.distinct[events.types.places[group[0]]]
            meters = decoded.catalogue.meters_for(organization.id, event_type, batch.partition, batch.from_position)
            if meters:
                yield organization, meters, group


class _MeterReading:
    """One meter and the events of its organization and type."""

    def __init__(
        self,
        decoded: DecodedBlock,
        organization: Organization,
        meter: Meter,
        at: NDArray[np.int64],
        by_arrow: Mask,
    ) -> None:
        self._decoded = decoded
        self._organization = organization
        self._meter = meter
        self._at = at
        self._number, plain = paths_of(meter)
        kinds = decoded.plan.kinds
        # A column of decimals also holds decimal strings: fine for a quantity, another value for a filter or group.
        readable = all(path in kinds and kinds[path] is not Kind.DECIMAL for path in plain)
        readable &= self._number is None or self._number in kinds
        self._regular = by_arrow[at] if readable else np.zeros(len(at), np.bool_)
        self._columns: dict[Path, pa.Array] = {}

    def run(self, skips: list[DeadLetter]) -> MeterReadings:
        """Read in columns what is regular there, and the rest one by one."""
        quantities: Quantities | None = None
        texts: pa.StringArray | None = None
        passing = self._filter()
        if self._number is not None:
            quantities = self._quantities(passing)
        elif self._meter.value_property is not None:
            texts = self._texts(parse_path(self._meter.value_property), MAX_UNIQUE_CHARS, passing, missing=None)
        paths = [parse_path(path) for path in self._meter.group_by.values()]
        groups = [self._texts(path, MAX_GROUP_CHARS, passing, missing="") for path in paths]
        readings = MeterReadings(self._meter, self._organization, self._at, quantities, texts, groups)
        chosen = passing & self._regular
        if not chosen.all():
            readings = readings.chosen(chosen)
        exact = self._read_exactly(self._at[~self._regular], skips)
        return readings if exact is None else _merged(readings, exact)

    def _column(self, path: Path) -> tuple[Kind, pa.Array]:
        kinds = self._decoded.plan.kinds
        if path not in self._columns:
            column = as_array(self._decoded.events.table[str(list(kinds).index(path))])
            everything = len(self._at) == len(column)
            self._columns[path] = column if everything else column.take(pa.array(self._at))
        return kinds[path], self._columns[path]

    def _filter(self) -> Mask:
        """Mark the events that the filters let through; of those that are not regular, this says nothing."""
        passing = np.ones(len(self._at), np.bool_)
        if self._regular.any():
            for condition in self._meter.filters:
                passing &= matching(condition, *self._column(parse_path(condition.property)))
        return passing

    def _quantities(self, passing: Mask) -> Quantities:
        """Return the meter's values; those that are missing or too large are left to the exact rule."""
        assert self._number is not None
        if not self._regular.any():
            return no_quantities(len(self._at))
        kind, column = self._column(self._number)
        quantities = Quantities.of_integers(column) if kind is Kind.INTEGER else Quantities.of_decimals(column)
        self._regular = self._regular & (~passing | (as_mask(column.is_valid()) & quantities.fits()))
        return quantities

    def _texts(self, path: Path, max_chars: int, passing: Mask, *, missing: str | None) -> pa.StringArray:
        """Return plain values as texts; what is not sure to fit is left to the exact rule."""
        if not self._regular.any():
            return pa.array([""] * len(self._at), pa.string())
        kind, column = self._column(path)
        if kind is Kind.INTEGER:
            fits = as_mask(pc.and_(pc.less(column, _SAFE_INTEGER), pc.greater(column, -_SAFE_INTEGER)))
        elif kind is Kind.TEXT:
            fits = as_mask(pc.less_equal(pc.binary_length(column), max_chars))
        else:
            fits = np.ones(len(column), np.bool_)
        fits = np.where(as_mask(column.is_valid()), fits, missing is not None)
        self._regular = self._regular & (~passing | fits)
        texts = column if kind is Kind.TEXT else column.cast(pa.string())
        return texts.fill_null("") if texts.null_count else texts

    def _read_exactly(self, events: NDArray[np.int64], skips: list[DeadLetter]) -> MeterReadings | None:
        """Read events one by one; what the meter cannot read becomes a dead letter of its own."""
        at: list[int] = []
        read: list[Reading] = []
        for event in events.tolist():
            row = int(self._decoded.events.rows[event])
            reading = read_meter(self._meter, self._decoded.exact_data(row))
            if isinstance(reading, MeterSkip):
                event_id = self._decoded.events.table["id"][event].as_py()
                skips.append(
                    DeadLetter(row, reading.code, reading.message, self._organization.id, event_id, self._meter.id)
                )
            elif reading is not None:
                at.append(event)
                read.append(reading)
        if not at:
            return None
        quantities = [reading.quantity for reading in read if reading.quantity is not None]
        texts = pa.array([reading.text for reading in read], pa.string())
        return MeterReadings(
            self._meter,
            self._organization,
            np.array(at, np.int64),
            Quantities.of_exact(quantities) if self._number is not None else None,
            texts if self._meter.aggregation is Aggregation.UNIQUE_COUNT else None,
            [pa.array(values, pa.string()) for values in zip(*(reading.groups for reading in read), strict=True)],
        )


def _merged(readings: MeterReadings, exact: MeterReadings) -> MeterReadings:
    """Return both in the order of the events."""
    events = np.append(readings.events, exact.events)
    order = np.argsort(events)
    quantities, texts = readings.quantities, readings.texts
    if quantities is not None and exact.quantities is not None:
        quantities = quantities.followed_by(exact.quantities).chosen(order)
    if texts is not None:
        texts = pa.concat_arrays([texts, exact.texts]).take(pa.array(order))
    groups = [pa.concat_arrays(pair).take(pa.array(order)) for pair in zip(readings.groups, exact.groups, strict=True)]
    return MeterReadings(readings.meter, readings.organization, events[order], quantities, texts, groups)
