"""`meterstream api`: the HTTP service in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from api.main import serve
from cli.settings import command_settings


def api() -> None:
    """Serve the HTTP API on METERSTREAM_API__HOST and …__PORT. Stores that are down are tried again by themselves."""
    serve(command_settings())
