"""The command line: one command group a file, added here."""

from __future__ import annotations

import typer

from cli import api, demo, emit, keys, migrate, rebuild, stack, worker

app = typer.Typer(
    help="Usage events in, exact meters out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(stack.app)
app.command()(api.api)
app.command()(worker.worker)
app.command()(migrate.migrate)
app.command()(demo.demo)
app.command()(emit.emit)
app.add_typer(keys.keys, name="keys")
app.add_typer(rebuild.app, name="rebuild")


def main() -> None:
    """Run `meterstream`."""
    app()


if __name__ == "__main__":
    main()
