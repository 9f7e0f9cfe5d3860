"""Jobs in Postgres: procrastinate's queue, in a schema of its own (`job_tables`)."""

from __future__ import annotations

from typing import Any, Final

import procrastinate

from runtime.settings import PostgresSettings
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.pool import connection_options

_SCHEMA: Final = "procrastinate"
_MOST_CONNECTIONS: Final = 4


def job_queue(settings: PostgresSettings) -> procrastinate.App:
    """Return the queue, not yet open (`async with queue.open_async()`)."""
    options: dict[str, Any] = connection_options(
        settings, service="jobs", role=WORKER_ROLE, search_path=f"{_SCHEMA},public"
    )
    connector = procrastinate.PsycopgConnector(
        conninfo=options.pop("conninfo"),
        kwargs=options,
        min_size=1,
        max_size=_MOST_CONNECTIONS,
        timeout=settings.connect_timeout_s,
    )
    return procrastinate.App(connector=connector)
