"""`meterstream tokens`: tokens of people, for development; in production whoever signs people in makes them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from api.access.tokens import make_token
from cli.failures import shown_failures
from cli.settings import command_settings

tokens = typer.Typer(help="Tokens of people, for development.", no_args_is_help=True)


@tokens.callback()
def _group() -> None:
    """Keep `create` a command of its own while it is the only one."""


@tokens.command()
def create(
    *,
    user: Annotated[str, typer.Option(help="The token's subject: the user's id.")],
    email: Annotated[str | None, typer.Option(help="The user's address; invitations are accepted with it.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 30, help="How long it works.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")] = False,
) -> None:
    """Create a token as a sign-in service would, and print it. Needs the secret of the API's settings."""
    with shown_failures():
        identity = command_settings().identity
        token = make_token(identity, user_id=user, email=email, lifetime=timedelta(hours=hours))
    Console(stderr=True).print(f"Token of user {user}, for {hours:g} h:", highlight=False, markup=False)
    print(json.dumps({"user": user, "email": email, "token": token}) if as_json else token)
