"""What a meter's readings add to its totals, by subject and minute; `totals.Partial` is the rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.arrow_arrays import as_array
from metering.blocks import MeterDeltas
from metering.decode import DecodedBlock
from metering.meter_columns import MeterReadings
from metering.meters import Aggregation
from metering.quantity_columns import Quantities
from metering.readings import unique_hash

_MINUTE_US = 60_000_000

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Groups:
    """Readings by subject and minute."""

    key: Places
    """Of each reading: equal within a group, ascending from group to group."""
    order: Places
    """The readings, group after group."""
    starts: Places
    """Where in `order` each group begins."""
    subjects: list[str]
    minutes: Places


class Adder:
    """Adds up the meters of one block; those that read the same events share the sorting."""

    def __init__(self, decoded: DecodedBlock) -> None:
        self._decoded = decoded
        self._last: tuple[Places, _Groups] | None = None

    def add_up(self, readings: MeterReadings) -> MeterDeltas:
        """Return the deltas of one meter, whose readings are not empty."""
        groups = self._group(readings.events)
        meter, events = readings.meter, self._decoded.events
        quantities, latest = None, None
        if readings.quantities is not None and meter.aggregation in (Aggregation.SUM, Aggregation.AVG):
            quantities = readings.quantities.chosen(groups.order).sums(groups.starts)
        elif readings.quantities is not None:
            decisive = self._decisive(meter.aggregation, readings.events, readings.quantities, groups)
            quantities = readings.quantities.chosen(decisive).texts()
            latest = readings.events[decisive] if meter.aggregation is Aggregation.LATEST else None
        return MeterDeltas(
            meter_id=meter.id,
            organization_id=readings.organization.id,
            aggregation=str(meter.aggregation),
            subjects=groups.subjects,
            minutes=groups.minutes,
            quantities=quantities,
            events=np.diff(np.append(groups.starts, len(groups.order))),
            latest_times_us=None if latest is None else events.times_us[latest],
            latest_offsets=None if latest is None else self._decoded.batch.offsets[events.rows[latest]],
            value_hashes=None if readings.texts is None else _distinct(readings.texts, groups),
        )

    def _group(self, at: Places) -> _Groups:
        if self._last is not None and self._last[0] is at:
            return self._last[1]
        events = self._decoded.events
        subjects, minutes = events.subjects.places[at], events.times_us[at] // _MINUTE_US
        first = int(minutes.min())
        span = int(minutes.max()) - first + 1
        key = subjects * span + (minutes - first)
        order = np.argsort(key)
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        of_group = order[starts]
        names = [events.subjects.distinct[place] for place in subjects[of_group].tolist()]
        groups = _Groups(key, order, starts, names, minutes[of_group])
        self._last = at, groups
        return groups

    def _decisive(self, aggregation: Aggregation, at: Places, quantities: Quantities, groups: _Groups) -> Places:
        """Return the reading of each group that is its smallest, largest or latest."""
        if aggregation is Aggregation.LATEST:
            events = self._decoded.events
            order = np.lexsort((events.rows[at], events.times_us[at], groups.key))
        else:
            order = np.lexsort((*quantities.sort_keys(), groups.key))
        ends = np.append(groups.starts[1:], len(order))
        decisive: Places = order[groups.starts if aggregation is Aggregation.MIN else ends - 1]
        return decisive


def _distinct(texts: pa.StringArray, groups: _Groups) -> tuple[list[str], Places, list[bytes]]:
    """Return each group's distinct values, one row per value."""
    encoded = as_array(texts.dictionary_encode())
    hashes = [unique_hash(text) for text in encoded.dictionary.to_pylist()]
    of_reading = np.empty(len(groups.order), np.int64)
    of_reading[groups.order] = np.repeat(np.arange(len(groups.starts)), np.diff(np.append(groups.starts, len(texts))))
    pairs = np.unique(of_reading * len(hashes) + encoded.indices.to_numpy(zero_copy_only=False))
    group, value = np.divmod(pairs, len(hashes))
    subjects = [groups.subjects[place] for place in group.tolist()]
    return subjects, groups.minutes[group], [hashes[place] for place in value.tolist()]
