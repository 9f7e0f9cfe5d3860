"""`meterstream up`, `down`, `status`: the embedded stack on this machine."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from cli.failures import shown_failures
from devstack.state import Stack, find_stack
from runtime.settings import Settings

if TYPE_CHECKING:
    from devstack.up import EmbeddedStack, Progress

# `down` takes a part's pid file away a moment after the part has ended.
_DOWN_S = 2.0

AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the data of a stopped stack and begin anew.")] = False,
) -> None:
    """Start Kafka, Postgres, ClickHouse, Valkey, a Stripe simulator, the API and the workers, whatever does not run.

    Without --detach it stays in the foreground: Ctrl-C stops everything. A part whose URL is set in the environment
    (METERSTREAM_KAFKA__BOOTSTRAP_SERVERS, …_POSTGRES__URL, …_CLICKHOUSE__URL, …_VALKEY__URL) is used as it is; so is
    Stripe itself where METERSTREAM_STRIPE__API_KEY is set.
    """
    console = Console(highlight=False)
    with shown_failures(), _terminating_like_ctrl_c():
        embedded = _bring_up(console, detach=detach, fresh=fresh)
        if embedded is None or detach:
            return
        ended = None
        try:
            console.print("\nCtrl-C stops everything; the data stays. `meterstream up --detach` would return here.")
            ended = _wait(embedded)
        except KeyboardInterrupt:
            console.print()
        finally:
            console.print("Stopping …")
            embedded.stop()
        if ended:
            _fail(ended)
        console.print("Stopped.")


def down() -> None:
    """Stop everything that `up` started; the data stays."""
    console = Console(highlight=False)
    with shown_failures():
        embedded = _embedded(Settings())
        running = [] if embedded is None else embedded.running()
        if embedded is None or not running:
            console.print("Nothing runs.")
            return
        began = time.monotonic()
        embedded.stop()
        names = ", ".join(part.name for part in running)
        console.print(f"Stopped {names} in {time.monotonic() - began:.1f} s. `meterstream up` goes on with the data.")


def status(as_json: AsJson = False) -> None:
    """Show where each part is and how it is. Exits with 1 unless every part of ours answers."""
    with shown_failures():
        embedded = _embedded(Settings())
        parts = [] if embedded is None else describe(embedded)
    healthy = bool(parts) and all(part["healthy"] is not False for part in parts)
    if as_json:
        state_dir = None if embedded is None else str(embedded.stack.state_dir)
        print(json.dumps({"healthy": healthy, "state_dir": state_dir, "parts": parts}))
    elif embedded is None:
        Console().print("There is no embedded stack here yet: `meterstream up` makes one.")
    else:
        console = Console(highlight=False)
        _print_parts(console, parts)
        _print_simulator(console, embedded.stack)
    raise typer.Exit(0 if healthy else 1)


def describe(embedded: EmbeddedStack) -> list[dict[str, Any]]:
    """Return name, URL, pid, port, log and health of each part; `healthy` is None for a part that is not ours."""
    ours = {part.name: part for part in embedded.parts}
    described = []
    for state in embedded.stack.parts:
        part = ours.get(state.name)
        described.append(
            {
                "name": state.name,
                "url": state.url,
                "external": state.external,
                "pid": None if part is None else part.process.pid,
                "port": None if part is None else embedded.stack.ports[state.name],
                "healthy": None if part is None else part.is_healthy(),
                "log": None if part is None else str(part.process.log_file),
            }
        )
    return described


def _bring_up(console: Console, *, detach: bool, fresh: bool) -> EmbeddedStack | None:
    """Start what does not run; None when everything ran already."""
    from cli.migrate import apply_all
    from devstack.up import bring_up, erase, plan

    def report(progress: Progress) -> None:
        address = next((part.url for part in embedded.stack.parts if part.name == progress.name), "")
        line = f"[green]✓[/green] {progress.name:<19} {progress.what:<11} {progress.seconds:5.1f} s  {address}"
        console.print(line, soft_wrap=True)

    settings = Settings()
    if fresh:
        erase(settings)
    began = time.monotonic()
    embedded = plan(settings)
    already = {part.name for part in embedded.running()}
    if len(already) == len(embedded.parts):
        console.print("Everything runs already:")
        _print_parts(console, describe(embedded))
        return None
    for state in embedded.stack.parts:
        if state.external or state.name in already:
            what = "yours" if state.external else "runs"
            console.print(f"[blue]·[/blue] {state.name:<19} {what:<20} {state.url}", soft_wrap=True)
    _warn_of_lost_webhooks(console, settings, embedded.stack)
    bring_up(embedded, apply_all, detached=detach, report=report)
    console.print(f"Ready in {time.monotonic() - began:.1f} s. {_next_steps(embedded.stack)}", soft_wrap=True)
    return embedded


def _warn_of_lost_webhooks(console: Console, settings: Settings, stack: Stack) -> None:
    if stack.stripe_api_base is None and not settings.stripe.webhook_secrets:
        console.print(
            "[yellow]! stripe[/yellow]              no webhook secret: set METERSTREAM_STRIPE__WEBHOOK_SECRETS, or what"
            " happens at Stripe is known an hour later at best",
            soft_wrap=True,
        )


def _next_steps(stack: Stack) -> str:
    api = next(part.url for part in stack.parts if part.name == "api")
    return f"API and its documentation: {api}/docs · logs: {stack.state_dir / 'logs'}"


def _print_parts(console: Console, parts: list[dict[str, Any]]) -> None:
    words = {True: "[green]healthy[/green]", False: "[red]down[/red]", None: "yours"}
    table = Table("part", "health", "pid", "url", box=None)
    for part in parts:
        pid = "" if part["pid"] is None else str(part["pid"])
        health = words[part["healthy"]]
        if part["healthy"] is False and pid:
            health = "[yellow]not ready[/yellow]"
        table.add_row(part["name"], health, pid, part["url"])
    console.print(table, soft_wrap=True)


def _print_simulator(console: Console, stack: Stack) -> None:
    """Print how a program of the reader's own reaches the simulator; our commands find it by themselves."""
    variables = [f"{name}={value}" for name, value in stack.simulator_environment().items()]
    if variables:
        console.print("\nThe Stripe simulator, from elsewhere (its key opens nothing else):")
        console.print("  " + " ".join(variables), soft_wrap=True)


def _embedded(settings: Settings) -> EmbeddedStack | None:
    from devstack.up import EmbeddedStack

    stack = find_stack(settings.state_dir.resolve())
    return None if stack is None else EmbeddedStack(stack)


def _wait(embedded: EmbeddedStack) -> str | None:
    """Watch until a part ends; return what to tell about it, None when `down` stopped everything."""
    while True:
        time.sleep(0.5)
        ended = [part for part in embedded.parts if not part.process.is_running()]
        if not ended:
            continue
        time.sleep(_DOWN_S)
        crashed = next((part for part in ended if part.process.pid_file.exists()), None)
        if crashed is None:
            return None
        return crashed.process.failure("ended by itself", "`meterstream up` starts it again.").message


@contextmanager
def _terminating_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the stack as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(message: str) -> NoReturn:
    Console(stderr=True, highlight=False, markup=False).print(message, style="red", soft_wrap=True)
    raise typer.Exit(1)
