"""`meterstream api`: the HTTP service in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import typer

from api.main import serve
from cli.settings import command_settings
from runtime.errors import RefusedToStart
from runtime.logging import get_logger

log = get_logger(__name__)
_REFUSED = 3


def api() -> None:
    """Serve the HTTP API on METERSTREAM_API__HOST and …__PORT. Stores that are down are tried again by themselves.

    Exit code 3: a setting does not do, or the database follows another account of Stripe's; the last log line says it.
    """
    try:
        serve(command_settings())
    except RefusedToStart as exc:
        log.error("refused to start", reason=exc.message)  # noqa: TRY400  # the message is the reason, not the trace
        raise typer.Exit(_REFUSED) from exc
