"""What ClickHouse holds of each load, against what Postgres counted; for the ledger and the warehouse's start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from runtime.errors import RefusedToStart
from sinks.clickhouse.client import query
from sinks.clickhouse.queries import load as load_sql
from sinks.postgres.loads import Load

_SQL = load_sql("ledger")


@dataclass(frozen=True, slots=True)
class LoadDifference:
    """A load of which ClickHouse holds other rows than Postgres counted."""

    load: Load
    stored: int
    strays: bool
    """Rows carry the load's id and lie outside its bounds."""

    def __str__(self) -> str:
        load = self.load
        place = f"load {load.id}, partition {load.partition}, [{load.from_position}, {load.to_position})"
        return f"{place}: Postgres counted {load.counted}, ClickHouse holds {self.stored}"


def compare(client: Client, loads: Sequence[Load]) -> list[LoadDifference]:
    """Return the done loads (of one topic) that differ. Costs milliseconds: ClickHouse answers from a projection."""
    if not loads:
        return []
    span = {"first_load": min(load.id for load in loads), "last_load": max(load.id for load in loads)}
    rows = query(client, _SQL["stored_loads"], {"topic": loads[0].topic, **span})
    stored = {(row[0], row[1]): row[2:] for row in rows}
    differences = []
    for load in loads:
        count, first, last = stored.get((load.id, load.partition), (0, load.from_position, load.to_position - 1))
        strays = first < load.from_position or last >= load.to_position
        if count != load.counted or strays:
            differences.append(LoadDifference(load, count, strays))
    return differences


def last_offsets(client: Client, topic: str) -> dict[int, int]:
    """Return the last stored offset by partition; milliseconds, too."""
    return {int(partition): int(offset) for partition, offset in query(client, _SQL["last_offsets"], {"topic": topic})}


def refuse_if_ahead(stored: Mapping[int, int], intended: Mapping[int, int]) -> None:
    """Refuse to load into a ClickHouse that knows more than Postgres: a restored Postgres would use its ids again.

    `stored`: the last offset of each partition in ClickHouse, read first; `intended`: the end of its last load in
    Postgres, open or done, read afterwards: another worker may be at work. Raises: RefusedToStart.
    """
    ahead = {partition: offset for partition, offset in stored.items() if offset >= intended.get(partition, 0)}
    if ahead:
        places = ", ".join(
            f"partition {partition} up to offset {offset}" for partition, offset in sorted(ahead.items())
        )
        raise RefusedToStart(
            f"ClickHouse holds events that Postgres has not loaded ({places}): Postgres was restored to an earlier "
            "state, or belongs to another warehouse. Run `meterstream rebuild clickhouse`."
        )
