"""A partition's meter among rivals: what another worker decided by a newer catalogue is caught up with by that one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from runtime.errors import Unavailable
from runtime.telemetry import Telemetry
from sinks.kafka.producer import EventProducer
from sinks.postgres.pool import connect
from streams.partition_meter import MeteringTools, PartitionMeter
from tests.integration.streams.metered_log import MeteredLog

pytestmark = pytest.mark.integration
Make = Callable[[str], PartitionMeter]


@pytest.fixture
async def make(log: MeteredLog, tmp_path: Path) -> AsyncIterator[Make]:
    """Make meters of partition 0, each on a host of its own: with an index of its own."""
    producer = EventProducer(log.settings.kafka, topic=log.topic.topic, timeout_s=10, buffer_bytes=1 << 30)
    await producer.start()
    made: list[PartitionMeter] = []

    def meter(host: str) -> PartitionMeter:
        tools = MeteringTools(
            topic=log.topic,
            postgres=log.settings.postgres,
            index_dir=tmp_path / host,
            default_organization=None,
            reader=log.reader,
            producer=producer,
            threads=log.threads,
            merges=log.threads,
            telemetry=Telemetry(),
        )
        made.append(PartitionMeter(tools, 0))
        return made[-1]

    yield meter
    for each in made:
        each.close()
    await producer.stop()


async def _count_all(log: MeteredLog, meter: PartitionMeter) -> None:
    _, end = (await log.reader.bounds([0]))[0]
    batch = await log.reader.read_all(0, 0, end)
    for _ in range(3):
        try:
            return await meter.meter(batch)
        except Unavailable:  # its connection was cut
            continue
    raise AssertionError("the meter did not come back")


async def test_repeats_of_what_another_worker_counted_for_a_new_organization(log: MeteredLog, make: Make) -> None:
    log.postgres.execute("update organizations set slug = 'elsewhere'")
    frozen, other = make("a"), make("b")
    log.produce(10)
    await _count_all(log, frozen)
    assert log.counted() == 0
    # While the first worker sleeps, the organization comes, and another worker counts for it.
    positions = [log.metered_to()[0], 0, 0, 0]
    log.postgres.execute(
        "insert into organizations (slug, name, effective_positions) values ('acme', 'Acme', %s)", (positions,)
    )
    log.postgres.execute("update catalogue_version set version = version + 1")
    log.produce(10)
    await _count_all(log, other)
    assert log.counted() == 10
    with closing(connect(log.settings.postgres, service="test")) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'meterstream-metering' and datname = current_database()"
        )
    log.repeat_last(10)
    await _count_all(log, frozen)
    assert log.counted() == 10
