"""Numbered, append-only migrations, each in a transaction of its own. `meterstream migrate` runs them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files

import psycopg

from runtime.errors import ConflictError, RefusedToStart
from sinks.postgres.job_tables import QUEUE_VERSION, install_queue
from sinks.postgres.pool import readable_url, translated_errors

# Any constant; held while migrating so that a second process waits and then finds nothing to do.
_LOCK = 7_236_001

_JOURNAL = """
create table if not exists schema_migrations (
    name text primary key, sha256 text not null, applied_at timestamptz not null default now()
)
"""


def migrations() -> Iterator[tuple[str, str]]:
    """Yield (name, SQL) in order."""
    folder = files(__package__).joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            yield file.name, file.read_text()


def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names; safe to run twice and from two processes at once.

    Raises: ConflictError where an applied migration's text has changed, or the database is newer than this code.
    """
    with translated_errors(), psycopg.connect(readable_url(url), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(_JOURNAL)
        applied: dict[str, str] = dict(connection.execute("select name, sha256 from schema_migrations").fetchall())
        done = []
        for name, text in migrations():
            digest = hashlib.sha256(text.encode()).hexdigest()
            known = applied.pop(name, None)
            if known is None:
                with connection.transaction():
                    connection.execute(text.encode())
                    connection.execute("insert into schema_migrations (name, sha256) values (%s, %s)", (name, digest))
                done.append(name)
            elif known != digest:
                raise ConflictError(f"Migration {name} was changed after it was applied; restore its text.")
        if applied:
            raise ConflictError(f"The database is newer than this code: it has {', '.join(sorted(applied))}.")
        if install_queue(connection):
            done.append(QUEUE_VERSION)
        return done


def require_migrated(connection: psycopg.Connection) -> None:
    """Refuse to start on a schema that is not this code's.

    Raises: RefusedToStart naming what is missing and the command that mends it.
    """
    with translated_errors():
        exists = connection.execute("select to_regclass('schema_migrations') is not null").fetchone()
        rows = connection.execute("select name from schema_migrations").fetchall() if exists and exists[0] else []
    missing = {name for name, _ in migrations()} - {row[0] for row in rows}
    if missing:
        raise RefusedToStart(f"Postgres lacks {', '.join(sorted(missing))}: run `meterstream migrate`.")
