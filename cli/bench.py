"""`meterstream bench`: throughput per second and what it costs, on this machine."""

from __future__ import annotations

import json
import signal
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from runtime.errors import MeterstreamError
from runtime.logging import configure_logging


def bench(
    *,
    only: Annotated[list[str] | None, typer.Option(help="Measure only these; repeatable. --list names them.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Name the figures and end.")] = False,
    events: Annotated[int | None, typer.Option(min=10_000, help="Of the reference load; 1.5 million.")] = None,
    quick: Annotated[bool, typer.Option(help="Small loads: shows that it works, measures little.")] = False,
    full: Annotated[bool, typer.Option(help="Also 10 and 100 million ids, and 100 million stored rows.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="A soak instead: a modest load, memory over time.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a figure on standard output.")] = False,
) -> None:
    """Measure on engines of its own, in a temporary directory; a running stack is not touched (stop it for good
    figures). Every figure's totals are recounted. Exit code 1: a figure could not be had.
    """
    from benchmarks.figures import Figure, as_table
    from benchmarks.run import FIGURES, SOAK, run, usual_names
    from benchmarks.session import Options

    if listed:
        print("\n".join(FIGURES))
        return
    names = [SOAK] if minutes else only or usual_names(quick=quick)
    if unknown := [name for name in names if name not in FIGURES]:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(FIGURES)}", param_hint="--only")
    configure_logging("bench", level="WARNING", style="console")
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Console(stderr=True, highlight=False)
    figures: list[Figure] = []

    def emit(figure: Figure) -> None:
        figures.append(figure)
        if as_json:
            print(json.dumps(figure.as_json()), flush=True)

    options = Options(events=events or (100_000 if quick else 1_500_000), quick=quick, full=full, minutes=minutes)
    try:
        failures = run(names, options, say=lambda what: progress.print(f"· {what}", markup=False), emit=emit)
    except MeterstreamError as exc:  # the engines did not start
        progress.print(exc.message, style="red", markup=False)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    Console(stderr=as_json, highlight=False).print(as_table(figures))
    for failure in failures:
        progress.print(failure, style="red", markup=False)
    raise typer.Exit(1 if failures else 0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let SIGTERM stop the engines as Ctrl-C does."""
    raise KeyboardInterrupt
