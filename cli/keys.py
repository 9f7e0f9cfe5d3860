"""`meterstream keys`: API keys of organizations and of operators. They need the login that owns the tables.

No role of ours may do it: who can make an operator's key is an operator.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

import typer
from psycopg import AsyncConnection
from rich.console import Console

from cli.failures import shown_failures
from cli.settings import command_settings
from cli.tables import folding_table
from metering.topics import USAGE_EVENTS
from runtime.errors import InvalidInput, NotFoundError
from runtime.settings import Settings
from sinks.kafka.topics import topic_name
from sinks.postgres.access import open_postgres
from sinks.postgres.api_keys import OPERATOR_SCOPE, ApiKey, create_key, list_keys, revoke_key
from sinks.postgres.audit import Author, record
from sinks.postgres.catalogue_changes import LogShape
from sinks.postgres.organizations import create_organization as add_organization
from sinks.postgres.organizations import find_organization

keys = typer.Typer(help="API keys of organizations and of operators.", no_args_is_help=True)

T = TypeVar("T")
# Who has the owner's login; which person that is, the database does not know.
_AUTHOR: Final = Author("command line")
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    organization: Annotated[str | None, typer.Option(help="Slug of the organization that owns the key.")] = None,
    create_organization: Annotated[bool, typer.Option(help="Create the organization if there is none.")] = False,
    scope: Annotated[list[str] | None, typer.Option(help="ingest, read or admin (includes both); repeatable.")] = None,
    operator: Annotated[bool, typer.Option(help="An operator's key, for what belongs to no tenant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it: this is the only time it is shown."""
    settings = command_settings()
    key, secret = _run(
        make_key(
            settings,
            name=name,
            organization=organization,
            create_missing=create_organization,
            scopes=scope or [],
            operator=operator,
        )
    )
    owner = f"organization {key.organization}" if key.organization else "operators"
    console = Console(stderr=True)
    console.print(f"Key [bold]{key.name}[/bold] of {owner}, scopes {', '.join(key.scopes)}. Shown only now:")
    print(json.dumps({**_as_json(key), "key": secret}) if as_json else secret)


@keys.command("list")
def show(
    organization: Annotated[str | None, typer.Option(help="Only this organization's.")] = None, as_json: AsJson = False
) -> None:
    """List keys, without their secrets."""
    settings = command_settings()

    async def read() -> list[ApiKey]:
        async with open_postgres(settings.postgres, service="cli") as connection:
            return await list_keys(connection, organization=organization)

    found = _run(read())
    if as_json:
        print(json.dumps({"keys": [_as_json(key) for key in found]}))
        return
    table = folding_table("prefix", "name", "organization", "scopes", "created", "revoked", "id")
    table.columns[0].no_wrap = True  # short, and what `revoke` takes
    for key in found:
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        created = f"{key.created_at:%Y-%m-%d %H:%M}"
        table.add_row(key.prefix, key.name, key.organization or "–", ", ".join(key.scopes), created, revoked, key.id)
    Console().print(table)


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id or its prefix (ms_ and 8 characters).")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key; it stops working within 5 seconds."""
    settings = command_settings()

    async def write() -> ApiKey:
        async with open_postgres(settings.postgres, service="cli") as connection, connection.transaction():
            found = await revoke_key(connection, key)
            if found.newly:
                await _audit(connection, "api_key.revoke", found, before=_told(found))
            return found

    revoked = _run(write())
    print(json.dumps(_as_json(revoked)) if as_json else f"Revoked {revoked.prefix}… ({revoked.name}).")


async def make_key(
    settings: Settings,
    *,
    name: str,
    organization: str | None,
    scopes: list[str],
    create_missing: bool = False,
    operator: bool = False,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret.

    Raises: InvalidInput, NotFoundError when the organization does not exist and is not to be made.
    """
    if operator == (organization is not None):
        raise InvalidInput("Name an organization, or say --operator: one of the two.")
    async with open_postgres(settings.postgres, service="cli") as connection, connection.transaction():
        if organization is None:
            return await create_key(connection, organization_id=None, name=name, scopes=scopes or [OPERATOR_SCOPE])
        owner = await find_organization(connection, slug=organization)
        if owner is None and create_missing:
            shape = LogShape(topic_name(settings.kafka, USAGE_EVENTS), settings.kafka.partitions)
            owner = await add_organization(connection, slug=organization, name=organization, shape=shape)
            after = {"id": owner.id, "slug": owner.slug, "name": owner.name}
            await record(
                connection,
                organization_id=owner.id,
                author=_AUTHOR,
                action="organization.create",
                target=("organization", owner.id),
                after=after,
            )
        if owner is None or owner.archived_at is not None:
            raise NotFoundError(f"No organization {organization!r} is in force; --create-organization makes one.")
        key, secret = await create_key(
            connection, organization_id=owner.id, name=name, scopes=scopes, created_by=_AUTHOR.name
        )
        await _audit(connection, "api_key.create", key, after=_told(key))
        return key, secret


async def _audit(connection: AsyncConnection, action: str, key: ApiKey, **told: dict[str, Any]) -> None:
    """Tell the organization; operators' keys are in no audit log."""
    if key.organization_id is not None:
        await record(
            connection,
            organization_id=key.organization_id,
            author=_AUTHOR,
            action=action,
            target=("api_key", key.id),
            **told,
        )


def _told(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "prefix": key.prefix, "scopes": key.scopes}


def _run(work: Coroutine[Any, Any, T]) -> T:
    with shown_failures():
        return asyncio.run(work)


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(key).items()
        if name not in ("organization_id", "newly")
    }
