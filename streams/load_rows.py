"""Turns a load's records into the rows that ClickHouse stores: the journal decides what counted, not this."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from metering.catalogue import Catalogue
from metering.decode import BlockDecoder
from metering.records import RecordBatch
from metering.warehouse_rows import events_table, meter_values_table
from runtime.errors import UnexpectedError
from sinks.postgres.loads import Load, LoadContents


class LoadDecoder:
    """Decodes loads with one catalogue, which is right for all positions older than it. For one thread at a time."""

    def __init__(self, catalogue: Catalogue, partitions: int, default_organization: str | None) -> None:
        self.catalogue = catalogue
        self._decoder = BlockDecoder(catalogue, partitions, default_organization)

    def rows(self, load: Load, contents: LoadContents, records: RecordBatch) -> tuple[pa.Table, pa.Table]:
        """Return the rows of `usage_events` and of `meter_values` of a load that counted something.

        Raises: UnexpectedError where the log does not hold what the journal counted; nothing may be stored then.
        """
        if len(records) != len(contents.counted):
            raise _differs(load, f"the journal has {len(contents.counted)} records, the log {len(records)}")
        events: list[pa.Table] = []
        values: list[pa.Table] = []
        start = 0
        for piece in self.catalogue.pieces(records):
            counted = contents.counted[start : start + len(piece)]
            start += len(piece)
            if not np.any(counted):
                continue
            decoded = self._decoder.decode(piece)
            events.append(events_table(decoded, counted))
            values.append(meter_values_table(decoded, counted))
        stored = sum(len(table) for table in events)
        if stored != load.counted:
            raise _differs(load, f"the journal counted {load.counted} events, the log has {stored} of them")
        return pa.concat_tables(events), pa.concat_tables(values)


def _differs(load: Load, how: str) -> UnexpectedError:
    place = f"{load.topic}-{load.partition}, [{load.from_position}, {load.to_position})"
    return UnexpectedError(f"Warehouse load {load.id} ({place}): {how}.")
