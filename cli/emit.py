"""`meterstream emit`: sends a file of usage events."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.emitting import Emitter, HttpEmitter, KafkaEmitter, Refused
from cli.event_lines import in_batches, read_lines
from cli.settings import command_settings
from devstack.state import find_stack
from metering.topics import USAGE_EVENTS
from runtime.errors import InvalidInput, MeterstreamError
from runtime.logging import configure_logging
from runtime.settings import Settings
from sinks.http_api.client import ApiClient
from sinks.kafka.producer import EventProducer
from sinks.kafka.topics import topic_name

_BATCHES_AT_ONCE = 4
_SHOWN = 10


class Via(StrEnum):
    """Ways in."""

    HTTP = "http"
    KAFKA = "kafka"


@dataclass(slots=True)
class Summary:
    """What became of the lines."""

    sent: int = 0
    accepted: int = 0
    refused: list[Refused] = field(default_factory=list)


def emit(
    file: Annotated[Path, typer.Argument(help="CloudEvents in JSON, one per line; `-` reads standard input.")],
    *,
    via: Annotated[Via, typer.Option(help="Through the API, or straight to Kafka.")] = Via.HTTP,
    organization: Annotated[
        str | None, typer.Option(help="Whose events these are (Kafka; over HTTP the key decides).")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="METERSTREAM_API_KEY", help="API key with the scope ingest.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The API's address, if it is not the running stack's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")] = False,
) -> None:
    """Send usage events and wait until they are stored. Sending a file twice is safe: repeats count once.

    A line that is refused is told with its number and does not stop the others.
    Exit code 1: lines were refused, or not everything could be stored.
    """
    settings = command_settings()
    configure_logging("emit", level="WARNING", style="console")
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    summary = Summary()
    try:
        with _opened(file) as (lines, total), _progress(console, total) as advance:
            asyncio.run(_emit(lines, _way(settings, via, organization, key, url), summary, advance))
    except (MeterstreamError, OSError) as exc:
        code = exc.code if isinstance(exc, MeterstreamError) else type(exc).__name__
        console.print(f"[red]{code}[/red] {exc}", soft_wrap=True)
        if summary.accepted:
            console.print(f"At least {summary.accepted:,} events are stored. Sending the file again is safe.")
        raise typer.Exit(1) from exc
    _report(console, summary, time.monotonic() - began, as_json=as_json)
    raise typer.Exit(1 if summary.refused else 0)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """Give the file and how many lines it has; nobody knows that of standard input."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    with file.open("rb") as lines:
        total = sum(1 for line in lines if line.strip())
        lines.seek(0)
        yield lines, total


@contextmanager
def _progress(console: Console, total: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("events", total=total)
        yield lambda lines: progress.advance(task, lines)


@asynccontextmanager
async def _way(
    settings: Settings, via: Via, organization: str | None, key: str | None, url: str | None
) -> AsyncIterator[Emitter]:
    if via is Via.HTTP:
        if not key:
            raise InvalidInput("Give an API key: --key or METERSTREAM_API_KEY; `meterstream keys create` makes one.")
        async with ApiClient(url or _api_url(settings), key) as api:
            yield HttpEmitter(api)
        return
    producer = EventProducer(
        settings.kafka,
        topic=topic_name(settings.kafka, USAGE_EVENTS),
        timeout_s=settings.api.produce_timeout_s,
        buffer_bytes=settings.api.producer_buffer_bytes,
    )
    await producer.start()
    try:
        yield KafkaEmitter(producer, settings.kafka.partitions, organization, settings.worker.default_organization)
    finally:
        await producer.stop()


def _api_url(settings: Settings) -> str:
    """Return where the API is: as the environment says, else where the embedded stack has it."""
    stack = find_stack(settings.state_dir)
    if stack is None or {"host", "port"} & settings.api.model_fields_set:
        return f"http://{settings.api.host}:{settings.api.port}"
    return next(part.url for part in stack.parts if part.name == "api")


async def _emit(
    lines: BinaryIO,
    way: AbstractAsyncContextManager[Emitter],
    summary: Summary,
    advance: Callable[[int], None],
) -> None:
    """Send batches side by side; the file is read no faster than they are stored."""
    batches = in_batches(read_lines(lines))

    async def lane(emitter: Emitter) -> None:
        for batch in batches:
            refused = await emitter.emit(batch)
            summary.sent += len(batch)
            summary.accepted += len(batch) - len(refused)
            summary.refused += refused
            advance(len(batch))

    async with way as emitter:
        await asyncio.gather(*(lane(emitter) for _ in range(_BATCHES_AT_ONCE)))


def _report(console: Console, summary: Summary, seconds: float, *, as_json: bool) -> None:
    first = sorted(summary.refused, key=lambda refused: refused.line)[:_SHOWN]
    for refused in first:
        console.print(f"line {refused.line}: [red]{refused.code}[/red]", end=" ")
        console.print(refused.message, markup=False, soft_wrap=True)
    if len(summary.refused) > len(first):
        console.print(f"… and {len(summary.refused) - len(first):,} more")
    console.print(f"{summary.accepted:,} accepted, {len(summary.refused):,} rejected, in {seconds:.1f} s")
    if as_json:
        answer = {
            "sent": summary.sent,
            "accepted": summary.accepted,
            "rejected": len(summary.refused),
            "reasons": [asdict(refused) for refused in first],
            "seconds": round(seconds, 2),
        }
        print(json.dumps(answer))
