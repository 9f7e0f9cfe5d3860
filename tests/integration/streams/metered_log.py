"""A log with a journal but no warehouse: records in Kafka, and their blocks committed to Postgres in small steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer

from metering.decode import BlockDecoder
from metering.partitions import home_partition
from metering.settle import settle
from runtime.settings import Settings
from runtime.telemetry import Telemetry
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.client import query
from sinks.clickhouse.loads import LoadWriter
from sinks.clickhouse.migrate import migrate
from sinks.first_seen.entries import Seen
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topic_identity import TopicIdentity
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.blocks import BlockWriter, Committed
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.pool import connect
from sinks.postgres.positions import begin_partition, read_positions
from streams.partition_loader import PartitionLoader, WarehouseTools

ORGANIZATION = "11111111-1111-1111-1111-111111111111"
SUM_METER = "22222222-2222-2222-2222-222222222201"
COUNT_METER = "22222222-2222-2222-2222-222222222202"
PARTITIONS = 4
_METER = (
    "insert into meters (id, organization_id, slug, name, event_type, aggregation, value_property, "
    "effective_positions) values (%s, %s, %s, 'x', 'request', %s, %s, %s)"
)


def days_to_last_month() -> int:
    """Return how many days ago the month before this one was: 31 at most, and so never too late to count."""
    return datetime.now(UTC).day


@dataclass
class MeteredLog:
    """Everything a warehouse test needs on one log."""

    settings: Settings
    topic: TopicIdentity
    reader: LogReader
    postgres: psycopg.Connection
    """The owner's, who sets up and looks."""
    working: psycopg.Connection
    """A worker's, which counts."""
    clickhouse: Client
    threads: ThreadPoolExecutor
    loaders: list[PartitionLoader] = field(default_factory=list)
    _produced: int = 0
    _last: list[bytes] = field(default_factory=list)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers, "acks": "all"})
        run = self.postgres.execute
        zeros = [0] * PARTITIONS
        run(
            "insert into organizations (id, slug, name, effective_positions) values (%s, 'acme', 'Acme', %s)",
            (ORGANIZATION, zeros),
        )
        run(_METER, (SUM_METER, ORGANIZATION, "tokens", "SUM", "$.tokens", zeros))
        self.add_meter(COUNT_METER, "requests", "COUNT", None, zeros)

    def add_meter(self, meter_id: str, slug: str, aggregation: str, value: str | None, positions: list[int]) -> None:
        """Add a meter that is in force from those positions on."""
        self.postgres.execute(_METER, (meter_id, ORGANIZATION, slug, aggregation, value, positions))
        self.postgres.execute("update catalogue_version set version = version + 1")

    def produce(
        self, count: int, *, partition: int = 0, repeats: int = 0, malformed: int = 0, days_back: int = 0
    ) -> None:
        """Append new events, then repeats of the last ones, then records that are no events."""
        subjects = [s for s in (f"customer-{n}" for n in range(200)) if home_partition(s, PARTITIONS) == partition]
        bodies = []
        for _ in range(count):
            self._produced += 1
            at = datetime.now(UTC) - timedelta(days=days_back, seconds=self._produced % 50)
            body: dict[str, Any] = {
                "specversion": "1.0",
                "id": f"event-{self._produced}",
                "source": "test",
                "type": "request",
                "subject": subjects[self._produced % len(subjects)],
                "time": at.isoformat().replace("+00:00", "Z"),
                "data": {"tokens": self._produced % 7},
            }
            bodies.append(json.dumps(body).encode())
        self._append([*bodies, *bodies[len(bodies) - repeats :], *[b"{"] * malformed], partition)
        self._last = bodies

    def repeat_last(self, count: int, *, partition: int = 0) -> None:
        """Append the last new events of the last call again."""
        self._append(self._last[-count:], partition)

    def _append(self, bodies: list[bytes], partition: int) -> None:
        for body in bodies:
            self._producer.produce(self.topic.topic, body, partition=partition, headers={"organization": b"acme"})
        assert self._producer.flush(30) == 0

    async def meter(self, *, partition: int = 0, block: int = 1_000) -> None:
        """Commit everything that the log holds of a partition, as metering does, without looking beyond a block."""
        catalogue = read_catalogue(self.working)
        decoder = BlockDecoder(catalogue, PARTITIONS)
        position = begin_partition(self.working, self.topic.topic, partition)
        writer = BlockWriter(self.working, self.topic.topic, partition, position)
        _, end = (await self.reader.bounds([partition]))[partition]
        if position >= end:
            return
        async for fetched in self.reader.read(partition, position, end):
            for piece in catalogue.pieces(fetched):
                for start in range(piece.from_position, piece.to_position, block):
                    batch = piece.slice(start, start + block)
                    decoded = decoder.decode(batch)
                    settled = settle(decoded, Seen.nothing(len(decoded.events)), {})
                    ended = writer.commit(batch, settled.result, catalogue_version=catalogue.version)
                    assert ended is Committed.DONE

    def tools(self, **changes: Any) -> WarehouseTools:
        """Return what a loader needs."""
        options: dict[str, Any] = {
            "topic": self.topic,
            "postgres": self.settings.postgres,
            "writer": LoadWriter(self.clickhouse, self.topic.topic),
            "default_organization": None,
            "reader": self.reader,
            "threads": self.threads,
            "telemetry": Telemetry(),
            "max_records": 5_000,
            "wait_s": 0.01,
            "give_up_s": 20.0,
        }
        return WarehouseTools(**(options | changes))

    def loader(self, *, partition: int = 0, **changes: Any) -> PartitionLoader:
        """Return a loader that has fetched nothing: it reads the log by itself."""
        loader = PartitionLoader(self.tools(**changes), partition, held_records=5_000)
        loader._starved_at = float("-inf")
        self.loaders.append(loader)
        return loader

    def metered(self) -> dict[str, tuple[Decimal, int]]:
        """Return Postgres' sum and count by meter."""
        rows = self.postgres.execute(
            "select meter_id::text, coalesce(sum(quantity), 0), sum(events) from usage_minutes group by 1"
        ).fetchall()
        return {row[0]: (row[1], int(row[2])) for row in rows}

    def stored(self) -> dict[str, tuple[Decimal, int]]:
        """Return ClickHouse's sum and count by meter, which values and rollup must agree on."""
        rollup = query(
            self.clickhouse,
            "select toString(meter_id), sum(total), sum(events) from meter_values_quarter_hourly group by 1 order by 1",
        )
        values = query(
            self.clickhouse,
            "select toString(meter_id), sum(toDecimal256(value, 18)), count() from meter_values group by 1 order by 1",
        )
        assert values == rollup
        return {row[0]: (row[1], int(row[2])) for row in rollup}

    def stored_events(self) -> tuple[int, int]:
        """Return how many events ClickHouse holds, and how many places of the log they come from."""
        row = query(self.clickhouse, "select count(), uniqExact(partition, offset) from usage_events")[0]
        return int(row[0]), int(row[1])

    def counted(self) -> int:
        """Return how many records the journal counted."""
        row = self.postgres.execute("select coalesce(sum(counted), 0) from stream_blocks").fetchone()
        assert row is not None
        return int(row[0])

    def metered_to(self) -> dict[int, int]:
        """Return metering's positions."""
        return read_positions(self.postgres, self.topic.topic)

    def assert_equal(self) -> None:
        """Fail unless ClickHouse holds what Postgres counted, once."""
        assert self.stored() == self.metered()
        assert self.stored_events() == (self.counted(), self.counted())


@contextmanager
def metered_log(settings: Settings, topic: TopicIdentity, reader: LogReader) -> Iterator[MeteredLog]:
    """Give a log with one organization and two meters, and an empty warehouse."""
    migrate(settings.clickhouse)
    clickhouse = connect_clickhouse(settings.clickhouse, service="test")
    with (
        connect(settings.postgres, service="test") as postgres,
        connect(settings.postgres, service="test", role=WORKER_ROLE) as working,
        ThreadPoolExecutor(4) as threads,
    ):
        log = MeteredLog(settings, topic, reader, postgres, working, clickhouse, threads)
        yield log
        for loader in log.loaders:
            loader.close()
    clickhouse.close()
