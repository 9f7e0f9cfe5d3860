"""How commands end when something is wrong: the code, what happened and the way out; never a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from devstack.state import find_stack
from runtime.errors import MeterstreamError, Unavailable
from runtime.settings import Settings

INTERRUPTED = 130


@contextmanager
def shown_failures() -> Iterator[None]:
    """Print our errors to standard error and end with exit code 1; Ctrl-C ends with 130."""
    try:
        yield
    except MeterstreamError as exc:
        console = Console(stderr=True, highlight=False, markup=False)
        console.print(f"{exc.code}: {exc.message}", style="red", soft_wrap=True)
        if isinstance(exc, Unavailable) and _nothing_runs():
            console.print("Nothing runs here: `meterstream up` starts everything.", style="red", soft_wrap=True)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _nothing_runs() -> bool:
    """Tell whether the stores that were meant are those of an embedded stack that is stopped, or was never started."""
    settings = Settings()
    stack = find_stack(settings.state_dir.resolve())
    if stack is None:
        return "url" not in settings.postgres.model_fields_set
    from devstack.up import EmbeddedStack

    embedded = EmbeddedStack(stack)
    return bool(embedded.engines) and not embedded.running()
