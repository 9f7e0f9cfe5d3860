"""The tables of the job queue: procrastinate's own, made once, in a schema of their own."""

from __future__ import annotations

from typing import Final

import psycopg

from sinks.postgres.queries import load

_SQL = load("job_queue")
QUEUE_VERSION: Final = "procrastinate 3.10"
"""Whose tables they are; a version that changes them needs a migration of ours."""


def install_queue(connection: psycopg.Connection) -> bool:
    """Make the tables if there are none; workers may use them, the API may not. Says whether it did."""
    found = connection.execute(_SQL["is_installed"]).fetchone()
    if found is not None and found[0]:
        return False
    # Every process checks migrations; only one that makes the tables has to load the library.
    from procrastinate.schema import SchemaManager

    with connection.transaction():
        connection.execute(_SQL["create_schema"])
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute(_SQL["grant"])
    return True
