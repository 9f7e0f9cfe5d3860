"""A decoded block as the warehouse's rows: its counted events, and what every meter read from them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metering.arrow_arrays import Mask, as_array
from metering.decode import DecodedBlock, Labels
from metering.meter_columns import MeterReadings, read_meters
from metering.quantity_columns import no_quantities
from metering.readings import unique_hash

_TIME = pa.timestamp("us", "UTC")
_VALUES = pa.schema(
    [
        ("organization_id", pa.string()),
        ("meter_id", pa.string()),
        ("aggregation", pa.string()),
        ("subject", pa.string()),
        ("time", _TIME),
        ("partition", pa.uint16()),
        ("offset", pa.int64()),
        ("value", pa.decimal128(38, 18)),
        ("value_hash", pa.binary(16)),
        ("group_values", pa.list_(pa.string())),
    ]
)


def events_table(decoded: DecodedBlock, counted: Mask) -> pa.Table:
    """Return the counted events, oldest first: their envelope, place in the log, and body as it came.

    `counted` marks records of the batch. `arrival_at` is the first arrival of a record that was forwarded.
    """
    events, batch = decoded.events, decoded.batch
    at = np.flatnonzero(counted[events.rows])
    rows = events.rows[at]
    table = events.table.take(pa.array(at)) if len(at) < len(events) else events.table
    return pa.table(
        {
            "organization_id": _organization_ids(decoded, at),
            "event_type": as_array(table["type"]),
            "subject": as_array(table["subject"]),
            "source": as_array(table["source"]),
            "event_id": as_array(table["id"]),
            "authorization": as_array(table["authorization"]),
            "time": pa.array(events.times_us[at]).cast(_TIME),
            "arrival_at": pa.array(events.arrivals_ms[at]).cast(pa.timestamp("ms", "UTC")),
            "partition": _repeated(batch.partition, len(at), pa.uint16()),
            "offset": pa.array(batch.offsets[rows]),
            "body": pa.array([batch.values[row] for row in rows.tolist()], pa.binary()),
        }
    )


def meter_values_table(decoded: DecodedBlock, counted: Mask) -> pa.Table:
    """Return a row for each counted event and meter that read it; meter by meter, oldest first.

    `counted` marks records of the batch. `value` is 0 for COUNT and UNIQUE_COUNT; `value_hash` is UNIQUE_COUNT's.
    """
    readings, _ = read_meters(decoded, counted[decoded.events.rows])
    if not readings:
        return _VALUES.empty_table()
    return pa.concat_tables([_values(decoded, read) for read in readings])


def _values(decoded: DecodedBlock, read: MeterReadings) -> pa.Table:
    events, batch, count = decoded.events, decoded.batch, len(read.events)
    quantities = no_quantities(count) if read.quantities is None else read.quantities
    return pa.table(
        {
            "organization_id": _repeated(read.organization.id, count, pa.string()),
            "meter_id": _repeated(read.meter.id, count, pa.string()),
            "aggregation": _repeated(str(read.meter.aggregation), count, pa.string()),
            "subject": _texts(events.subjects, read.events),
            "time": pa.array(events.times_us[read.events]).cast(_TIME),
            "partition": _repeated(batch.partition, count, pa.uint16()),
            "offset": pa.array(batch.offsets[events.rows[read.events]]),
            "value": quantities.as_decimals(),
            "value_hash": _hashes(read.texts, count),
            "group_values": _group_values(read.groups, count),
        },
        schema=_VALUES,
    )


def _organization_ids(decoded: DecodedBlock, at: NDArray[np.int64]) -> pa.Array:
    events = decoded.events
    ids = pa.array([None if one is None else one.id for one in events.organizations], pa.string())
    return ids.take(pa.array(events.organization[at]))


def _texts(labels: Labels, at: NDArray[np.int64]) -> pa.Array:
    return pa.array(labels.distinct, pa.string()).take(pa.array(labels.places[at]))


def _repeated(value: object, count: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _hashes(texts: pa.StringArray | None, count: int) -> pa.Array:
    if texts is None:
        return pa.nulls(count, pa.binary(16))
    encoded = as_array(texts.dictionary_encode())
    hashes = [unique_hash(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(hashes, pa.binary(16)).take(encoded.indices)


def _group_values(groups: list[pa.StringArray], count: int) -> pa.Array:
    """Put the groups of each event side by side."""
    width = len(groups)
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    if not groups:
        return pa.ListArray.from_arrays(offsets, pa.array([], pa.string()))
    across = np.arange(width * count).reshape(width, count).T.ravel()
    return pa.ListArray.from_arrays(offsets, pc.take(pa.concat_arrays(groups), pa.array(across)))
