"""Writes warehouse loads: the rows of a load, once per table and month, however often the load is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from sinks.clickhouse.client import query, translated_errors
from sinks.clickhouse.queries import load

_SQL = load("loads")

EVENTS: Final = "usage_events"
VALUES: Final = "meter_values"

EVENT_COLUMNS: Final[dict[str, pa.DataType]] = {
    "organization_id": pa.string(),
    "event_type": pa.string(),
    "subject": pa.string(),
    "source": pa.string(),
    "event_id": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "arrival_at": pa.timestamp("ms", "UTC"),
    "partition": pa.uint16(),
    "offset": pa.int64(),
    "body": pa.binary(),
}
"""Columns of `usage_events` as a load brings them; texts may be dictionary-encoded."""

VALUE_COLUMNS: Final[dict[str, pa.DataType]] = {
    "organization_id": pa.string(),
    "meter_id": pa.string(),
    "aggregation": pa.string(),
    "subject": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "partition": pa.uint16(),
    "offset": pa.int64(),
    "value": pa.decimal128(38, 18),
    "value_hash": pa.binary(16),
    "group_values": pa.list_(pa.string()),
}
"""Columns of `meter_values`; see its migration for which aggregation fills what."""

LOADS_REMEMBERED: Final = 1_000
"""The server remembers 10,000 tokens a table (see `migrate`): at two months and five pieces a load, this many loads."""

# One insertion becomes one block of the server, which makes two of more than 1,048,449 rows.
_ROWS_AN_INSERT = 1_000_000

# Bodies shrink to a quarter, and every copy on the way to the engine costs more than packing.
_IPC = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)

# Sent as dictionaries: the server parses each id once, which costs 0.9 µs an event less than parsing each row's.
_FEW_VALUES: Final = {"organization_id", "meter_id", "aggregation", "event_type", "source"}

_SETTINGS: Final = {
    # An asynchronous insert may merge with others and forget its token.
    "async_insert": 0,
    # Without it a repeated token still reaches the view, or a view that was missed is never filled.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # One thread, one order, one block: a repeated insertion has to be cut as the first was.
    "max_insert_threads": 1,
    "min_insert_block_size_bytes": 0,
    "min_insert_block_size_rows": _ROWS_AN_INSERT,
    # A value that does not fit must refuse the load instead of becoming another.
    "date_time_overflow_behavior": "throw",
}


class LoadWriter:
    """Writes loads of one topic; threads may share it.

    A repeated load writes nothing twice as long as its rows and their order are the same and at most
    `LOADS_REMEMBERED` loads lie between; after more, the server may have forgotten the load's tokens.
    """

    def __init__(self, client: Client, topic: str) -> None:
        self._client = client
        self._topic = topic

    def write(self, load_id: int, events: pa.Table, values: pa.Table) -> None:
        """Insert a load's rows; `EVENT_COLUMNS` and `VALUE_COLUMNS` say which columns.

        Values come first: when `usage_events` has a load, which is what the ledger compares, the rest is there too.
        Raises: Unavailable or Transient, after which the same load is to be written again.
        """
        self._insert(VALUES, load_id, values.select(list(VALUE_COLUMNS)))
        topic = pa.DictionaryArray.from_arrays(np.zeros(len(events), dtype=np.int8), [self._topic])
        self._insert(EVENTS, load_id, events.select(list(EVENT_COLUMNS)).append_column("topic", topic))

    def holds(self, load_id: int, partition: int) -> bool:
        """Say whether any row of a load has arrived."""
        keys = {"topic": self._topic, "load_id": load_id, "partition": partition}
        return bool(query(self._client, _SQL["holds"], keys)[0][0])

    def _insert(self, table: str, load_id: int, rows: pa.Table) -> None:
        rows = _with_dictionaries(rows)
        rows = rows.append_column("load_id", pa.repeat(pa.scalar(load_id, pa.int64()), len(rows)))
        for month, part in _by_month(rows):
            for number, start in enumerate(range(0, len(part), _ROWS_AN_INSERT)):
                token = f"{load_id}:{table}:{month}" + (f":{number}" if number else "")
                self._send(table, part.slice(start, _ROWS_AN_INSERT), token)

    def _send(self, table: str, rows: pa.Table, token: str) -> None:
        with translated_errors():
            self._client.raw_insert(
                table,
                column_names=rows.column_names,
                insert_block=_arrow_stream(rows),
                settings={**_SETTINGS, "insert_deduplication_token": token},
                fmt="ArrowStream",
            )


def _with_dictionaries(rows: pa.Table) -> pa.Table:
    rows = rows.combine_chunks()
    for name in _FEW_VALUES & set(rows.column_names):
        if not pa.types.is_dictionary(rows[name].type):
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].dictionary_encode())
    return rows


def _by_month(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (`2026-11`, the rows of that month), in order; an insertion over two months cannot be repeated safely."""
    months = rows["time"].to_numpy().astype("datetime64[M]")
    for month in np.unique(months):
        chosen = months == month
        yield str(month), rows if chosen.all() else rows.filter(pa.array(chosen))


def _arrow_stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_IPC) as stream:
        # One batch: the server makes a block of each.
        for batch in rows.combine_chunks().to_batches():
            stream.write_batch(batch)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed
