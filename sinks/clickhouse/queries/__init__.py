"""Named SQL: `load("usage")["find_events"]` is the block `-- name: find_events` of `usage.sql`."""

from __future__ import annotations

from functools import cache

from sinks.named_sql import read_statements


@cache
def load(file: str) -> dict[str, str]:
    """Return the named statements of `<file>.sql`; their parameters are ClickHouse's `{name:Type}`."""
    return read_statements(__package__, file)
