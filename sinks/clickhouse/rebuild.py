"""ClickHouse's usage tables beside the live ones: made empty, filled by replay, compared, swapped in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import command, connect, query
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.queries import load
from sinks.comparison import TableComparison

TABLES = ("usage_events", "meter_values", "meter_values_quarter_hourly")
_SQL = load("rebuild")


@contextmanager
def scratch_database(settings: ClickhouseSettings) -> Iterator[Client]:
    """Give a client whose database is an empty twin of the live one; dropped before and after."""
    name = scratch_name(settings)
    with _client(settings, database="") as server:
        command(server, _SQL["drop_database"], {"database": name})
        migrate(settings, database=name)
        try:
            with _client(settings, database=name) as client:
                yield client
        finally:
            command(server, _SQL["drop_database"], {"database": name})


def scratch_name(settings: ClickhouseSettings) -> str:
    """Return the twin's name."""
    return f"{settings.database}_rebuild"


def last_load(client: Client) -> int:
    """Return the highest load that ClickHouse has rows of; 0 where it has none."""
    return int(query(client, _SQL["last_load"])[0][0] or 0)


def compare_tables(client: Client, settings: ClickhouseSettings) -> list[TableComparison]:
    """Compare live and rebuilt, table by table."""
    compared = []
    for table in TABLES:
        live = query(client, _SQL[table], {"database": settings.database})[0]
        rebuilt = query(client, _SQL[table], {"database": scratch_name(settings)})[0]
        compared.append(TableComparison(table, int(live[0]), str(live[1]), int(rebuilt[0]), str(rebuilt[1])))
    return compared


def swap_tables(scratch: Client, settings: ClickhouseSettings) -> None:
    """Put the rebuilt parts in the live ones' place, one month of a table at a time; repeating it is harmless.

    The live tables stay what they are, with their view and the tokens they remember; only their parts are replaced.
    """
    for table in TABLES:
        rebuilt = _partitions(scratch, scratch_name(settings), table)
        for partition_id in rebuilt:
            command(scratch, _SQL[f"replace_{table}"], {"live": settings.database, "partition_id": partition_id})
        for partition_id in _partitions(scratch, settings.database, table):
            if partition_id not in rebuilt:
                names = {"live": settings.database, "table": table, "partition_id": partition_id}
                command(scratch, _SQL["drop_partition"], names)


def _partitions(client: Client, database: str, table: str) -> list[str]:
    return [str(row[0]) for row in query(client, _SQL["partitions"], {"database": database, "table": table})]


@contextmanager
def _client(settings: ClickhouseSettings, *, database: str) -> Iterator[Client]:
    client = connect(settings, service="rebuild", database=database)
    try:
        yield client
    finally:
        client.close()
