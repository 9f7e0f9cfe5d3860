"""The command line: one command group per file, named here and imported only when it is typed.

Importing all of them takes seconds of CPU, which every worker and every `status` would pay.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import cast

import typer
from typer.core import TyperCommand, TyperGroup

_COMMANDS = {
    "up": "cli.stack:up",
    "down": "cli.stack:down",
    "status": "cli.stack:status",
    "demo": "cli.demo:demo",
    "emit": "cli.emit:emit",
    "api": "cli.api:api",
    "worker": "cli.worker:worker",
    "migrate": "cli.migrate:migrate",
    "keys": "cli.keys:keys",
    "tokens": "cli.tokens:tokens",
    "plans": "cli.plans:app",
    "dead-letters": "cli.dead_letters:app",
    "ledger": "cli.ledger:ledger",
    "rebuild": "cli.rebuild:app",
    "bench": "cli.bench:bench",
}


class _Commands(TyperGroup):
    """Finds a command by its name in the table."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(_COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return cast(TyperCommand, typer.main.get_command(alone))


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def meterstream() -> None:
    """Usage events in, exact meters out."""
    # A command tells an outage once, at its end; the pool would tell every try before.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def main() -> None:
    """Run `meterstream`."""
    app()


if __name__ == "__main__":
    main()
