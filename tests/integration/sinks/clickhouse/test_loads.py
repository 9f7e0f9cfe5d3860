"""A load counts once in every table and view, wherever it was interrupted and however often it is repeated."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from metering.meters import Meter
from metering.readings import Reading
from metering.totals import Place
from runtime.errors import RefusedToStart, Unavailable
from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import connect, query
from sinks.clickhouse.ledger import compare, last_offsets, refuse_if_ahead
from sinks.clickhouse.loads import LoadWriter
from sinks.clickhouse.migrate import migrate
from sinks.postgres.loads import Load
from tests.engines import TestStack
from tests.integration.sinks.clickhouse.rows import Used, events_table, values_table
from tests.unit.metering.builders import ORGANIZATION, meter

pytestmark = pytest.mark.integration

TOPIC = "usage.events.v1"
METER: Meter = meter("SUM", id="00000000-0000-0000-0000-0000000000b1")
OCTOBER_END_US = 1_793_491_200_000_000  # 2026-11-01T00:00:00Z


def tables(first: int, count: int, *, spread_us: int = 1_000_000) -> tuple[pa.Table, pa.Table]:
    """Return events and values of `count` offsets from `first`, half before and half after a month's end."""
    places = [Place(OCTOBER_END_US + (i - count // 2) * spread_us, 3, first + i) for i in range(count)]
    used = [Used("customer-1", place, Reading(Decimal("0.1"), None, ())) for place in places]
    return events_table(ORGANIZATION.id, places), values_table(METER, used)


def sums(client: Client) -> tuple[int, int, Decimal, int, Decimal]:
    """Return what the three tables hold."""
    events = query(client, "select count() from usage_events")[0][0]
    values = query(client, "select count(), sum(toDecimal256(value, 18)) from meter_values")[0]
    rollup = query(client, "select sum(events), sum(total) from meter_values_quarter_hourly")[0]
    return events, *values, *rollup


def whole(count: int) -> tuple[int, int, Decimal, int, Decimal]:
    """Return what they should hold."""
    return count, count, count * Decimal("0.1"), count, count * Decimal("0.1")


def interrupted(client: Client, *, after: int, arrives: bool) -> Any:
    """Break the insertions from number `after` on; `arrives`: the broken one was carried out all the same."""
    real: Callable[..., Any] = client.raw_insert
    sent = 0

    def raw_insert(*args: Any, **kwargs: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent > after:
            if arrives and sent == after + 1:
                real(*args, **kwargs)
            raise OSError("broken")
        return real(*args, **kwargs)

    return patch.object(client, "raw_insert", raw_insert)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_load_cut_after_any_statement_is_whole_when_repeated(warehouse: Client, after: int, arrives: bool) -> None:
    writer = LoadWriter(warehouse, TOPIC)
    writer.write(1, *tables(0, 10))
    with interrupted(warehouse, after=after, arrives=arrives), pytest.raises(Unavailable):
        writer.write(2, *tables(10, 10))
    writer.write(2, *tables(10, 10))
    assert sums(warehouse) == whole(20)


def test_a_load_of_two_months_is_an_insertion_a_month(warehouse: Client) -> None:
    LoadWriter(warehouse, TOPIC).write(1, *tables(0, 10))
    parts = query(
        warehouse,
        "select table, partition, count(), sum(rows) from system.parts where active and database = currentDatabase() "
        "and table like '%e%' and table != 'schema_migrations' group by table, partition order by table, partition",
    )
    months = [(table, month, 1) for table in ("meter_values", "meter_values_quarter_hourly", "usage_events")
              for month in ("202610", "202611")]  # fmt: skip
    assert [tuple(row[:3]) for row in parts] == months


def test_repeats_change_nothing_after_other_loads_and_a_restart(private_stack: TestStack) -> None:
    settings = ClickhouseSettings(
        url=private_stack.clickhouse_url, password=SecretStr(private_stack.clickhouse_password), database="repeats"
    )
    migrate(settings)
    client = connect(settings, service="test")
    for load in range(1, 13):
        LoadWriter(client, TOPIC).write(load, *tables(load * 10, 10))
    private_stack.kill_engine("clickhouse")
    with pytest.raises(Unavailable):
        LoadWriter(client, TOPIC).write(1, *tables(10, 10))
    private_stack.restart_engine("clickhouse")
    for load in (1, 7, 12):
        LoadWriter(client, TOPIC).write(load, *tables(load * 10, 10))
    assert sums(client) == whole(120)
    client.close()


def test_a_load_larger_than_an_insertion_is_cut_alike_each_time(warehouse: Client) -> None:
    with patch("sinks.clickhouse.loads._ROWS_AN_INSERT", 4):
        for _ in range(2):
            LoadWriter(warehouse, TOPIC).write(1, *tables(0, 20))
    assert sums(warehouse) == whole(20)


def test_a_load_without_events_writes_nothing(warehouse: Client) -> None:
    LoadWriter(warehouse, TOPIC).write(1, *tables(0, 0))
    assert query(warehouse, "select count() from system.parts where database = currentDatabase() and table = 'usage_events'") == [(0,)]  # fmt: skip  # noqa: E501


def test_bodies_are_stored_as_they_came(warehouse: Client) -> None:
    LoadWriter(warehouse, TOPIC).write(1, *tables(0, 2))
    rows = query(warehouse, "select body from usage_events order by offset", as_bytes=["body"])
    assert [row[0] for row in rows] == [b'{"id": "event-0"}\xff', b'{"id": "event-1"}\xff']


def load(number: int, first: int, count: int, *, partition: int = 3) -> Load:
    """Return the journal's view of a load."""
    return Load(number, TOPIC, partition, first, first + count, count)


def test_the_ledger_finds_every_kind_of_difference(warehouse: Client) -> None:
    writer = LoadWriter(warehouse, TOPIC)
    writer.write(1, *tables(0, 10))
    writer.write(2, *tables(10, 9))
    writer.write(4, *tables(35, 10))
    loads = [load(1, 0, 10), load(2, 10, 10), load(3, 20, 10), load(4, 30, 10), Load(5, TOPIC, 3, 40, 45, 0)]
    found = compare(warehouse, loads)
    assert [(d.load.id, d.stored, d.strays) for d in found] == [(2, 9, False), (3, 0, False), (4, 10, True)]
    assert "load 3, partition 3, [20, 30): Postgres counted 10, ClickHouse holds 0" in map(str, found)
    assert compare(warehouse, []) == []


def test_a_clickhouse_ahead_of_postgres_is_refused(warehouse: Client) -> None:
    LoadWriter(warehouse, TOPIC).write(1, *tables(0, 10))
    assert last_offsets(warehouse, TOPIC) == {3: 9}
    refuse_if_ahead({3: 9}, {3: 10})
    refuse_if_ahead({}, {3: 10})
    for intended in ({3: 9}, {}, {2: 50}):
        with pytest.raises(RefusedToStart, match=r"partition 3 up to offset 9.*meterstream rebuild clickhouse"):
            refuse_if_ahead(last_offsets(warehouse, TOPIC), intended)


def test_a_load_that_left_anything_is_known(warehouse: Client) -> None:
    writer = LoadWriter(warehouse, TOPIC)
    events, values = tables(0, 10)
    writer.write(1, events, values)
    writer.write(2, events[:0], values)
    writer.write(3, events, values[:0])
    assert [writer.holds(number, 3) for number in (1, 2, 3, 4)] == [True, True, True, False]
