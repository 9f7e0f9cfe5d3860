"""`meterstream rebuild postgres|clickhouse`: everything that derives from usage events, replayed from the log."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cli.failures import shown_failures
from cli.settings import command_settings
from sinks.postgres.rebuild import TableComparison
from streams.rebuild_postgres import rebuild_postgres
from streams.worker import claim_log

app = typer.Typer(
    help="Replay the log into empty stores beside the live ones, compare, and swap.", no_args_is_help=True
)


@app.command()
def postgres(as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False) -> None:
    """Rebuild totals, positions, journal and dead letters; what people decided is kept.

    Metering goes on meanwhile and waits only for the comparison and the swap. The table shows live against rebuilt:
    "differs" means that the live rows were wrong, and are right now.
    """
    settings = command_settings()
    console = Console(stderr=True)
    with Progress(console=console) as bars:
        tasks = {}

        def show(partition: int, reached: int, wanted: int) -> None:
            if partition not in tasks:
                tasks[partition] = bars.add_task(f"partition {partition}", total=wanted)
            bars.update(tasks[partition], completed=reached, total=wanted)

        async def run() -> list[TableComparison]:
            return await rebuild_postgres(settings, await claim_log(settings), progress=show)

        with shown_failures():
            tables = asyncio.run(run())
    shown = Table("table", "live rows", "rebuilt rows", "equal")
    for table in tables:
        shown.add_row(
            table.table, f"{table.live_rows:,}", f"{table.rebuilt_rows:,}", "yes" if table.equal else "differs"
        )
    console.print(shown)
    if as_json:
        rows = {
            table.table: {"live": table.live_rows, "rebuilt": table.rebuilt_rows, "equal": table.equal}
            for table in tables
        }
        typer.echo(json.dumps({"tables": rows, "equal": all(table.equal for table in tables)}))
