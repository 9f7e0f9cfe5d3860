"""ClickHouse's migrations: twice, at once, changed, newer, missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from clickhouse_connect.driver.client import Client

from runtime.errors import ConflictError, DatabaseError, RefusedToStart, Unavailable
from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import command, connect, query
from sinks.clickhouse.migrate import fill_in, migrate, migrations, require_migrated

pytestmark = pytest.mark.integration

NAMES = [name for name, _ in migrations()]


def test_migrations_run_once(clickhouse_settings: ClickhouseSettings) -> None:
    assert migrate(clickhouse_settings) == NAMES
    assert migrate(clickhouse_settings) == []


def test_two_processes_may_migrate_at_once(clickhouse_settings: ClickhouseSettings) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate(clickhouse_settings), range(4)))
    assert set().union(*done) == set(NAMES)
    client = connect(clickhouse_settings, service="test")
    require_migrated(client)
    tables = {row[0] for row in query(client, "select name from system.tables where database = currentDatabase()")}
    client.close()
    assert tables >= {"usage_events", "meter_values", "meter_values_quarter_hourly", "schema_migrations"}


def test_every_statement_may_run_twice(warehouse: Client) -> None:
    for _, text in migrations():
        command(warehouse, fill_in(text, replicated=False))


def test_a_changed_text_is_refused(clickhouse_settings: ClickhouseSettings, warehouse: Client) -> None:
    command(warehouse, "alter table schema_migrations update sha256 = 'x' where 1 settings mutations_sync = 1")
    with pytest.raises(ConflictError, match="changed after it was applied"):
        migrate(clickhouse_settings)


def test_a_newer_database_is_refused(clickhouse_settings: ClickhouseSettings, warehouse: Client) -> None:
    command(warehouse, "insert into schema_migrations (name, sha256) values ('9999_later.sql', 'x')")
    with pytest.raises(ConflictError, match="9999_later"):
        migrate(clickhouse_settings)


def test_an_empty_database_is_refused_at_start(clickhouse: Client) -> None:
    with pytest.raises(RefusedToStart, match="meterstream migrate"):
        require_migrated(clickhouse)


def test_replicated_engines_are_named_by_the_placeholders() -> None:
    texts = "".join(fill_in(text, replicated=True) for _, text in migrations())
    assert texts.count("engine = Replicated") == texts.count("engine = ") == 3
    assert texts.count("replicated_deduplication_window_seconds = 604800") == 3
    assert "$" not in texts


def test_errors_are_ours(clickhouse_settings: ClickhouseSettings, warehouse: Client) -> None:
    with pytest.raises(DatabaseError, match="60"):
        query(warehouse, "select * from no_such_table")
    with pytest.raises(Unavailable):
        connect(clickhouse_settings.model_copy(update={"url": "http://127.0.0.1:1"}), service="test")
