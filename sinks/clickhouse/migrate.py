"""Numbered, append-only migrations of ClickHouse, one statement per file. `meterstream migrate` runs them.

ClickHouse has neither transactions nor locks for this, so every statement must be one that may run twice, and from two
processes at once (`create … if not exists`, `add column if not exists`); the journal follows it.

A file may hold these placeholders; the digest is of the text with them:
`${MergeTree}`, `${AggregatingMergeTree}`  the engine, `Replicated…` when `settings.replicated`;
`${deduplication}`  the table's settings that remember insertion tokens.
A replicated database is made by its operator beforehand (`engine = Replicated(…)`): it carries our statements to all
replicas and names the tables' paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from string import Template

from clickhouse_connect.driver.client import Client

from runtime.errors import ConflictError, RefusedToStart
from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import command, connect, query
from sinks.clickhouse.queries import load

_SQL = load("migrations")

_SINGLE = {
    "MergeTree": "MergeTree",
    "AggregatingMergeTree": "AggregatingMergeTree",
    # The default is 0: no token is remembered. Loads of all partitions share a table's window, hence its size.
    "deduplication": "non_replicated_deduplication_window = 10000",
}
_REPLICATED = {
    "MergeTree": "ReplicatedMergeTree",
    "AggregatingMergeTree": "ReplicatedAggregatingMergeTree",
    # The default forgets after an hour: an outage of that length would count a load twice.
    "deduplication": "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
}


def migrations() -> Iterator[tuple[str, str]]:
    """Yield (name, SQL with placeholders) in order."""
    folder = files(__package__).joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            yield file.name, file.read_text()


def fill_in(text: str, *, replicated: bool) -> str:
    """Return a migration as the server takes it. Raises: KeyError for an unknown placeholder."""
    return Template(text).substitute(_REPLICATED if replicated else _SINGLE)


def migrate(settings: ClickhouseSettings, *, database: str | None = None) -> list[str]:
    """Apply what is missing and return the names; safe to run twice and from two processes at once.

    `database`: another one than the settings', for `rebuild`. Raises: ConflictError where an applied migration's text
    has changed, or the database is newer than this code.
    """
    name_of_database = database or settings.database
    if not settings.replicated:
        server = connect(settings, service="migrate", database="")
        command(server, _SQL["create_database"], {"database": name_of_database})
        server.close()
    client = connect(settings, service="migrate", database=name_of_database)
    try:
        command(client, fill_in(_SQL["create_journal"], replicated=settings.replicated))
        applied = _applied(client)
        done = []
        for name, text in migrations():
            digest = hashlib.sha256(text.encode()).hexdigest()
            known = applied.pop(name, None)
            if known is None:
                command(client, fill_in(text, replicated=settings.replicated))
                command(client, _SQL["add"], {"name": name, "sha256": digest})
                done.append(name)
            elif known != digest:
                raise ConflictError(f"Migration {name} was changed after it was applied; restore its text.")
        if applied:
            raise ConflictError(f"ClickHouse is newer than this code: it has {', '.join(sorted(applied))}.")
        return done
    finally:
        client.close()


def require_migrated(client: Client) -> None:
    """Refuse to start on a schema that is not this code's.

    Raises: RefusedToStart naming what is missing and the command that mends it.
    """
    exists = query(client, _SQL["journal_exists"])[0][0]
    missing = {name for name, _ in migrations()} - (_applied(client).keys() if exists else set())
    if missing:
        raise RefusedToStart(f"ClickHouse lacks {', '.join(sorted(missing))}: run `meterstream migrate`.")


def _applied(client: Client) -> dict[str, str]:
    return {str(name): str(digest) for name, digest in query(client, _SQL["applied"])}
