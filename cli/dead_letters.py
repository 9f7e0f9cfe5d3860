"""`meterstream dead-letters`: what could not be used, as an operator handles it."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from api.access.actor import Actor
from api.operations.redriving import redrive as send_again
from api.stores import Stores, build_stores
from cli.failures import shown_failures
from cli.settings import command_settings
from cli.tables import folding_table
from runtime.logging import configure_logging
from sinks.postgres.dead_letters import (
    DeadLetterId,
    DeadLetterRow,
    discard_dead_letter,
    find_dead_letter,
    list_dead_letters,
)

app = typer.Typer(help="Records that could not be used: listed, shown, re-driven, discarded.", no_args_is_help=True)

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]
Id = Annotated[str, typer.Argument(help="topic-partition-offset, and -meter for one meter's; as `list` shows it.")]


@app.command("list")
def show_all(
    *,
    state: Annotated[str, typer.Option(help="open, redriving, redriven, discarded or all.")] = "open",
    code: Annotated[str | None, typer.Option(help="Only those of this reason, such as TIME_TOO_OLD.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""

    async def read(stores: Stores) -> list[DeadLetterRow]:
        async with stores.postgres.acting(_operator().access) as connection:
            wanted = None if state == "all" else state
            return await list_dead_letters(connection, organization_id=None, state=wanted, code=code, limit=limit)

    rows = _run(read)
    if as_json:
        print(json.dumps({"dead_letters": [_as_json(row) for row in rows]}))
        return
    table = folding_table("id", "reason", "message", "organization", "meter", "arrival", "state")
    for row in rows:
        table.add_row(
            str(row.id), row.code, row.message[:80], row.organization, row.meter, f"{row.arrival_at:%F %T}", row.state
        )
    Console(highlight=False).print(table if rows else "No dead letters.")


@app.command()
def show(letter: Id, as_json: AsJson = False) -> None:
    """Show one dead letter, with its bytes."""

    async def read(stores: Stores) -> tuple[DeadLetterRow, bytes]:
        async with stores.postgres.acting(_operator().access) as connection:
            return await find_dead_letter(connection, DeadLetterId.parse(letter), organization_id=None)

    row, raw = _run(read)
    fields = {**_as_json(row), "raw": raw.decode(errors="backslashreplace")}
    if as_json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        Console(highlight=False, markup=False).print(f"{name:>14}  {'' if value is None else value}")


@app.command()
def redrive(
    letter: Id,
    *,
    event: Annotated[Path | None, typer.Option(help="File with the corrected event; `-` reads standard input.")] = None,
    organization: Annotated[str | None, typer.Option(help="Whose event it is, where that is unknown.")] = None,
) -> None:
    """Send a record again, corrected or as it came. Refused where it would be rejected again."""
    body = None if event is None else sys.stdin.buffer.read() if str(event) == "-" else event.read_bytes()

    async def send(stores: Stores) -> None:
        async with stores.postgres.acting(_operator().access) as connection:
            row, raw = await find_dead_letter(connection, DeadLetterId.parse(letter), organization_id=None)
        await send_again(stores, _operator(), row, raw, event=body, organization=organization)

    _run(send)
    print(f"{letter} is in the log again.")


@app.command()
def discard(
    letter: Id, reason: Annotated[str, typer.Option(help="Why nothing is to be done; kept with the dead letter.")]
) -> None:
    """Decide that nothing is to be done about a dead letter. Nothing is deleted."""

    async def decide(stores: Stores) -> None:
        key = DeadLetterId.parse(letter)
        async with stores.postgres.acting(_operator().access) as connection:
            await find_dead_letter(connection, key, organization_id=None)
            await discard_dead_letter(connection, key, reason=reason, decided_by=_operator().name)

    _run(decide)
    print(f"{letter} is discarded.")


def _operator() -> Actor:
    return Actor(kind="operator", name=f"cli of {getpass.getuser()}")


def _run(work: Callable[[Stores], Awaitable[T]]) -> T:
    settings = command_settings()
    configure_logging("cli", level="WARNING", style="console")

    async def run() -> T:
        stores = build_stores(settings)
        async with stores.opened():
            return await work(stores)

    with shown_failures():
        return asyncio.run(run())


def _as_json(row: DeadLetterRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "code": row.code,
        "message": row.message,
        "organization": row.organization,
        "meter": row.meter,
        "event_id": row.event_id,
        "arrival_at": row.arrival_at.isoformat(),
        "raw_bytes": row.raw_bytes,
        "state": row.state,
        "reason": row.reason,
        "decided_by": row.decided_by,
    }
