"""`meterstream rebuild postgres|clickhouse`: everything that derives from usage events, replayed from the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from cli.failures import shown_failures
from cli.settings import command_settings
from runtime.settings import Settings
from sinks.comparison import TableComparison
from sinks.kafka.topic_identity import TopicIdentity
from streams.rebuild_clickhouse import rebuild_clickhouse
from streams.rebuild_postgres import rebuild_postgres
from streams.worker import claim_log


class Job(Protocol):
    """A rebuild of one store."""

    async def __call__(
        self, settings: Settings, topic: TopicIdentity, *, progress: Callable[[int, int, int], None]
    ) -> list[TableComparison]:
        """Replay, compare, swap."""


app = typer.Typer(
    help="Replay the log into empty stores beside the live ones, compare, and swap.", no_args_is_help=True
)


AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]


@app.command()
def postgres(as_json: AsJson = False) -> None:
    """Rebuild totals, positions, journal and dead letters; what people decided is kept.

    Metering goes on meanwhile and waits only for the comparison and the swap. The table shows live against rebuilt:
    "differs" means that the live rows were wrong, and are right now.
    """
    _rebuild(rebuild_postgres, as_json=as_json)


@app.command()
def clickhouse(as_json: AsJson = False) -> None:
    """Rebuild events, meter values and rollups; every load again from the log, under its own id.

    Metering goes on meanwhile; loading waits for the comparison and the swap. Also the way out when Postgres was
    restored to an earlier state than ClickHouse.
    """
    _rebuild(rebuild_clickhouse, as_json=as_json)


def _rebuild(job: Job, *, as_json: bool) -> None:
    settings = command_settings()
    console = Console(stderr=True, highlight=False)
    with Progress(console=console) as bars, shown_failures():
        tasks: dict[int, TaskID] = {}

        def show(partition: int, reached: int, wanted: int) -> None:
            if partition not in tasks:
                tasks[partition] = bars.add_task(f"partition {partition}", total=wanted)
            bars.update(tasks[partition], completed=reached, total=wanted)

        async def run() -> list[TableComparison]:
            return await job(settings, await claim_log(settings), progress=show)

        tables = asyncio.run(run())
    shown = Table("table", "live rows", "rebuilt rows", "equal")
    for table in tables:
        equal = "yes" if table.equal else "differs"
        shown.add_row(table.table, f"{table.live_rows:,}", f"{table.rebuilt_rows:,}", equal)
    console.print(shown)
    if as_json:
        rows = {
            table.table: {"live": table.live_rows, "rebuilt": table.rebuilt_rows, "equal": table.equal}
            for table in tables
        }
        print(json.dumps({"tables": rows, "equal": all(table.equal for table in tables)}))
