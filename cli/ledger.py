"""`meterstream ledger`: the proof that every record has exactly one fate, and that the stores agree on it."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from cli.failures import shown_failures
from cli.settings import command_settings
from cli.tables import folding_table
from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.ledger import compare
from sinks.kafka.topics import topic_name
from sinks.postgres.access import WORKER_ROLE, open_postgres
from sinks.postgres.ledger import Ledger, read_ledger, read_recent_loads

_ALL_LOADS = 1_000_000_000


def ledger(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where the books differ.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")] = False,
) -> None:
    """Show what became of every record, by partition and arrival hour, and each place where two books disagree.

    records = counted + duplicates + rejected + forwarded, always. Journal, positions and dead letters are compared with
    each other, and ClickHouse with Postgres load by load.
    """
    settings = command_settings()
    with shown_failures():
        books, differences = asyncio.run(read_books(settings))
    console = Console(stderr=as_json, highlight=False)
    _show(console, books, differences)
    if as_json:
        names = ("records", "counted", "duplicates", "rejected", "forwarded")
        sums = {name: sum(getattr(hour, name) for hour in books.hours) for name in names}
        print(json.dumps({**sums, "clean": not differences, "differences": differences}))
    if check and differences:
        raise typer.Exit(1)


async def read_books(settings: Settings) -> tuple[Ledger, list[str]]:
    """Return the ledger and every difference, in words."""
    topic = topic_name(settings.kafka, USAGE_EVENTS)
    async with open_postgres(settings.postgres, service="cli", role=WORKER_ROLE) as connection:
        books = await read_ledger(connection, topic, whole_log=settings.kafka.retention_ms < 0)
        loads = await read_recent_loads(connection, topic, limit=_ALL_LOADS)
    with closing(connect_clickhouse(settings.clickhouse, service="cli")) as client:
        return books, [*map(str, books.differences), *map(str, compare(client, loads))]


def _show(console: Console, books: Ledger, differences: list[str]) -> None:
    table = folding_table("arrival hour", "partition", "records", "counted", "duplicates", "rejected", "forwarded")
    for column in table.columns[1:]:
        column.justify = "right"
    for hour in books.hours:
        counts = (hour.records, hour.counted, hour.duplicates, hour.rejected, hour.forwarded)
        table.add_row(f"{hour.arrival_hour:%Y-%m-%d %H:00}", str(hour.partition), *(f"{count:,}" for count in counts))
    console.print(table)
    for difference in differences:
        console.print(difference, style="red", markup=False)
    console.print("[green]The books agree.[/green]" if not differences else f"{len(differences)} differences.")
