"""`meterstream demo`: the whole product on real input, recounted from the file."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cli.failures import shown_failures
from cli.migrate import apply_all
from runtime.logging import configure_logging
from runtime.settings import Settings


def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print nothing but one JSON object on standard output.")
    ] = False,
) -> None:
    """Feed in a real trace with all that goes wrong in real life, recount it from the file, and compare every number.

    In the end a customer's usage is billed by the Stripe simulator, whose invoice must be the one that we computed.

    Uses the stack that is up, under an organization of its own; else starts a stack in a temporary directory and stops
    it at the end. Ends with one JSON line: of the `sent`, some are `rejected` over HTTP; the `accepted` are
    `counted`, `duplicates` or `dead_letters` (`conflicts` are among these). Exit code 1: a number differs.
    """
    from devstack.demo.printing import print_report
    from devstack.demo.run import run_demo
    from devstack.demo.stack import demo_stack

    configure_logging("demo", level="WARNING", style="console")
    console = Console(stderr=as_json, highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)

    began = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[blue]·[/blue] [dim]{time.monotonic() - began:5.1f} s[/dim]  {what}", soft_wrap=True)

    with shown_failures(), demo_stack(Settings(), apply_all, say) as stack:
        report = asyncio.run(run_demo(stack.settings, stack.api_url, say, simulated_stripe=stack.simulated_stripe))
        stack.keep = not report.comparison.equal
    print_report(console, report)
    print(json.dumps(report.as_json()))
    raise typer.Exit(0 if report.comparison.equal else 1)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let SIGTERM stop the demo's own stack as Ctrl-C does."""
    raise KeyboardInterrupt
