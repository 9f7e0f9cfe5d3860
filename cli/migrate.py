"""`meterstream migrate`: schemas of both stores and the topics, whatever is missing of them."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console

from cli.failures import shown_failures
from cli.settings import command_settings
from runtime.settings import Settings
from sinks.clickhouse.migrate import migrate as migrate_clickhouse
from sinks.kafka.topics import create_topics
from sinks.postgres.migrate import migrate as migrate_postgres


def migrate(
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")] = False,
) -> None:
    """Bring Postgres, ClickHouse and Kafka's topics up to date; safe to run twice and from two processes at once."""
    console = Console(stderr=as_json)
    with shown_failures():
        done = apply_all(command_settings())
    for store, names in done.items():
        console.print(f"[bold]{store}[/bold]: {', '.join(names) or 'up to date'}", highlight=False)
    if as_json:
        print(json.dumps(done))


def apply_all(settings: Settings) -> dict[str, list[str]]:
    """Apply everything that is missing and return the names by store."""
    return {
        "postgres": migrate_postgres(settings.postgres.url.get_secret_value()),
        "clickhouse": migrate_clickhouse(settings.clickhouse),
        "topics": asyncio.run(create_topics(settings.kafka)),
    }
