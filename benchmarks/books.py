"""What Postgres says of a run: how fast blocks were committed, and whether the totals are the generator's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.figures import WrongNumbers
from benchmarks.load import Expected, subject_name
from metering.meters import Aggregation, Meter
from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.kafka.topics import topic_name
from sinks.postgres.positions import read_positions


@dataclass(frozen=True, slots=True)
class Pace:
    """Of blocks or loads that follow each other."""

    records: int
    seconds: float
    blocks: int

    @property
    def a_second(self) -> float:
        """Records a second."""
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """How many blocks, and of how many records, are committed."""

    blocks: int
    records: int


class Books:
    """Reads one run's database. Use as `with`."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topic_name(settings.kafka, USAGE_EVENTS)
        self._connection = psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True)

    def __enter__(self) -> Books:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def progress(self) -> Progress:
        """Return how far metering is."""
        row = self._one("select count(*), coalesce(sum(records), 0) from stream_blocks")
        return Progress(int(row[0]), int(row[1]))

    def loaded(self) -> int:
        """Return how many counted events are in ClickHouse, by the loads that are done."""
        return int(self._one("select coalesce(sum(counted), 0) from warehouse_loads where state = 'done'")[0])

    def positions(self) -> dict[int, int]:
        """Return where metering stands."""
        return read_positions(self._connection, self._topic)

    def rows_an_event(self) -> float:
        """Return how many totals were written for an event that counted, all meters together."""
        row = self._one(
            "select (select sum(n_tup_ins + n_tup_upd) from pg_stat_user_tables where relname = 'usage_buckets')"
            " / nullif((select sum(counted) from stream_blocks), 0)"
        )
        return round(float(row[0] or 0), 3)

    def commits(self, *, first: int, last: int) -> Pace:
        """Return the pace without the first blocks, which hold start-up, and the last, when partitions run dry.

        Blocks are worked on side by side, as many at the one end of what is measured as at the other.
        Raises: WrongNumbers when there are too few.
        """
        rows = self._connection.execute("select committed_at, records from stream_blocks order by 1").fetchall()
        if len(rows) < 4:
            raise WrongNumbers(f"Only {len(rows)} blocks: take more --events.")
        first, last = min(first, len(rows) // 2), min(last, len(rows) // 4)  # in a small run
        measured = rows[first : len(rows) - last]
        seconds = (measured[-1][0] - rows[first - 1][0]).total_seconds()
        return Pace(sum(records for _, records in measured), seconds, len(measured))

    def loads(self) -> Pace:
        """Return the pace from the first load's beginning to the last one's end, in counted events."""
        row = self._one(
            "select sum(counted), extract(epoch from max(done_at) - min(opened_at)), count(*)"
            " from warehouse_loads where state = 'done'"
        )
        return Pace(int(row[0]), float(row[1]), int(row[2]))

    def check(self, expected: Expected, meters: Sequence[Meter]) -> None:
        """Compare journal and every subject's totals. Raises: WrongNumbers at the first difference."""
        journal = self._one(
            "select coalesce(sum(records), 0), coalesce(sum(counted), 0), coalesce(sum(duplicates), 0),"
            " coalesce(sum(rejected), 0), coalesce(sum(forwarded), 0) from stream_blocks"
        )
        counted = int(expected.counts.sum())
        _same("records, counted, duplicates, rejected, forwarded", list(map(int, journal)),
              [expected.records, counted, expected.duplicates, 0, 0])  # fmt: skip
        for meter in meters:
            rows = self._connection.execute(
                "select subject, sum(events)::bigint, coalesce(sum(quantity), 0) from usage_minutes"
                " where meter_id = %s group by subject",
                (meter.id,),
            ).fetchall()
            sums = meter.aggregation is Aggregation.SUM
            wanted = {
                subject_name(number): (int(events), int(expected.sums[number]) if sums else 0)
                for number, events in enumerate(expected.counts.tolist())
                if events
            }
            found = {subject: (events, quantity) for subject, events, quantity in rows}
            _same(f"totals of {meter.slug}", found, wanted)

    def _one(self, statement: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(statement).fetchone()
        assert row is not None
        return row


def _same(what: str, found: object, expected: object) -> None:
    if found == expected:
        return
    if isinstance(found, dict) and isinstance(expected, dict):
        wrong = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
        first = min(wrong)
        found, expected = f"{found.get(first)} for {first}", f"{expected.get(first)} ({len(wrong)} differ)"
    raise WrongNumbers(f"{what}: found {found}, expected {expected}")
