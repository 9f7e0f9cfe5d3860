"""How commands end when something is wrong: the code, what happened and the way out; never a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from runtime.errors import MeterstreamError

INTERRUPTED = 130


@contextmanager
def shown_failures() -> Iterator[None]:
    """Print our errors to standard error and end with exit code 1; Ctrl-C ends with 130."""
    try:
        yield
    except MeterstreamError as exc:
        console = Console(stderr=True, highlight=False, markup=False)
        console.print(f"{exc.code}: {exc.message}", style="red", soft_wrap=True)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
