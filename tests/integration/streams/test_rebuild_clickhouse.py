"""ClickHouse rebuilt from the log is what it was; what was lost, doubled or too much in it is mended."""

from __future__ import annotations

import pytest

from runtime.errors import RefusedToStart
from sinks.clickhouse.client import command
from sinks.clickhouse.ledger import compare, last_offsets, refuse_if_ahead
from sinks.clickhouse.rebuild import TABLES
from sinks.comparison import TableComparison
from sinks.postgres.folding import fold_span
from sinks.postgres.loads import LoadJournal, intended_positions
from streams.rebuild_clickhouse import rebuild_clickhouse
from tests.integration.streams.metered_log import MeteredLog, days_to_last_month
from tests.integration.streams.test_partition_loader import load_all, loads_of

pytestmark = pytest.mark.integration


async def rebuild(log: MeteredLog) -> list[TableComparison]:
    """Rebuild with no worker about."""
    for loader in log.loaders:
        loader.close()
    return await rebuild_clickhouse(log.settings, log.topic, progress=lambda *_: None)


async def filled(log: MeteredLog) -> None:
    """Two partitions, two months, repeats, malformed records, several loads each."""
    for partition in (0, 2):
        log.produce(300, partition=partition, days_back=days_to_last_month())
        log.produce(500, partition=partition, repeats=40, malformed=3)
        await log.meter(partition=partition, block=130)
        assert await load_all(log.loader(partition=partition, max_records=300)) > 2
    log.assert_equal()


async def test_a_rebuilt_warehouse_is_what_it_was(log: MeteredLog) -> None:
    await filled(log)
    tables = await rebuild(log)
    assert [table.table for table in tables] == list(TABLES)
    assert all(table.equal for table in tables)
    assert tables[0].live_rows == log.counted() >= 1_600
    log.assert_equal()
    assert compare(log.clickhouse, loads_of(log)) == []


@pytest.mark.parametrize(
    "damage",
    [
        "truncate table usage_events",
        "truncate table meter_values_quarter_hourly",
        "alter table meter_values delete where offset % 3 = 0 settings mutations_sync = 2",
        "insert into meter_values select * from meter_values where partition = 2",
        "insert into usage_events select * replace (toDateTime64(1735689600, 6, 'UTC') as time) from usage_events",
    ],
)
async def test_damage_is_told_and_mended(log: MeteredLog, damage: str) -> None:
    await filled(log)
    command(log.clickhouse, damage)
    tables = await rebuild(log)
    assert not all(table.equal for table in tables)
    log.assert_equal()
    assert all(table.equal for table in await rebuild(log))


async def test_folded_journal_rows_serve_as_well(log: MeteredLog) -> None:
    await filled(log)
    ends = log.metered_to()
    fold_span(log.postgres, log.topic.topic, 0, 0, ends[0])
    assert all(table.equal for table in await rebuild(log))
    log.assert_equal()


async def test_an_open_load_is_finished(log: MeteredLog) -> None:
    await filled(log)
    log.produce(90)
    await log.meter()
    journal = LoadJournal(log.settings.postgres, log.topic.topic, 0)
    assert journal.next_load(up_to=1 << 40, max_records=1_000) is not None  # its worker dies here
    journal.close()
    assert all(table.equal for table in await rebuild(log))
    log.assert_equal()
    assert {row[0] for row in log.postgres.execute("select state from warehouse_loads").fetchall()} == {"done"}


async def test_a_restored_postgres_gets_the_warehouse_that_fits_it(log: MeteredLog) -> None:
    await filled(log)
    log.postgres.execute("delete from warehouse_loads where partition = 2")  # as if restored to before they were begun
    log.postgres.execute("select setval(pg_get_serial_sequence('warehouse_loads', 'id'), 1)")
    with pytest.raises(RefusedToStart, match="rebuild clickhouse"):
        refuse_if_ahead(
            last_offsets(log.clickhouse, log.topic.topic), intended_positions(log.postgres, log.topic.topic)
        )
    await rebuild(log)
    refuse_if_ahead(last_offsets(log.clickhouse, log.topic.topic), intended_positions(log.postgres, log.topic.topic))
    assert await load_all(log.loader(partition=2, max_records=300)) > 2
    log.assert_equal()


async def test_loading_goes_on_afterwards(log: MeteredLog) -> None:
    await filled(log)
    loader = log.loader()
    await rebuild(log)
    log.produce(70)
    await log.meter()
    assert await load_all(loader) == 1
    log.assert_equal()
