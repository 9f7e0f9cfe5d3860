"""The ledger (G4): what became of every record, and each place where the books do not agree.

Read by `GET /ledger`, `meterstream ledger`, readiness and the metric `meterstream_ledger_differences`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from sinks.postgres.loads import Load
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL = load("ledger")

CHECKS: Final = {
    "sums": "records of a block are not counted + duplicates + rejected + forwarded",
    "gaps": "a block does not start where the last one ended",
    "ends": "the journal does not end where the partition stands",
    "rejected": "rejected records of a block are not its dead letters",
    "strays": "there are more dead letters than rejected records",
    "load_gaps": "a warehouse load does not start where the last one ended",
    "load_counts": "warehouse loads do not hold what the journal counted",
}
"""Every check by name, and what a difference means."""


@dataclass(frozen=True, slots=True)
class LedgerHour:
    """What became of the records that arrived at one partition in one hour."""

    partition: int
    arrival_hour: datetime
    records: int
    counted: int
    duplicates: int
    rejected: int
    forwarded: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two books disagree."""

    check: str
    partition: int
    from_position: int
    to_position: int
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"{CHECKS.get(self.check, self.check)}: partition {self.partition}, positions {self.from_position} to "
            f"{self.to_position}, expected {self.expected}, found {self.found}"
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a topic as of one moment; `differences` is empty when all is right."""

    topic: str
    hours: list[LedgerHour] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a partition is metered and loaded, and when that last moved."""

    partition: int
    position: int
    committed_at: datetime | None
    loaded_position: int | None
    loaded_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Place:
    partition: int
    from_position: int
    to_position: int
    expected: int
    found: int


async def read_ledger(
    connection: AsyncConnection,
    topic: str,
    *,
    whole_log: bool,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> Ledger:
    """Return the hours of [from_at, to_at) and every difference there is, at whatever time.

    `whole_log`: the topic keeps everything, so each journal must begin at 0.
    """
    parameters = {"topic": topic, "whole_log": whole_log, "from_at": from_at, "to_at": to_at}
    with translated_errors():
        async with connection.transaction():
            await connection.execute(_SQL["snapshot"])
            async with connection.cursor(row_factory=class_row(LedgerHour)) as cursor:
                await cursor.execute(_SQL["hours"], parameters)
                hours = await cursor.fetchall()
            differences = await _differences(connection, parameters)
    return Ledger(topic, hours, differences)


async def find_differences(connection: AsyncConnection, topic: str, *, whole_log: bool) -> list[Difference]:
    """Return every place where Postgres' own books disagree."""
    with translated_errors():
        async with connection.transaction():
            await connection.execute(_SQL["snapshot"])
            return await _differences(connection, {"topic": topic, "whole_log": whole_log})


async def _differences(connection: AsyncConnection, parameters: dict[str, object]) -> list[Difference]:
    found: list[Difference] = []
    async with connection.cursor(row_factory=class_row(_Place)) as cursor:
        for check in CHECKS:
            await cursor.execute(_SQL[check], parameters)
            found += [
                Difference(check, place.partition, place.from_position, place.to_position, place.expected, place.found)
                for place in await cursor.fetchall()
            ]
    return found


async def read_recent_loads(connection: AsyncConnection, topic: str, *, limit: int) -> list[Load]:
    """Return the newest done loads, for `sinks.clickhouse.ledger.compare`."""
    return await fetch_all(connection, Load, _SQL["recent_loads"], {"topic": topic, "limit": limit})


async def read_progress(connection: AsyncConnection, topic: str) -> list[PartitionProgress]:
    """Return how far metering and the warehouse are, one row per partition that was ever metered."""
    return await fetch_all(connection, PartitionProgress, _SQL["last_commits"], {"topic": topic})
