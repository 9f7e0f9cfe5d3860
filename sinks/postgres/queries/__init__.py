"""Named SQL: `load("blocks")["move_position"]` is the block `-- name: move_position` of `blocks.sql`."""

from __future__ import annotations

from functools import cache

from sinks.named_sql import read_statements


@cache
def load(file: str) -> dict[str, bytes]:
    """Return the named statements of `<file>.sql`, as psycopg takes them."""
    return {name: text.encode() for name, text in read_statements(__package__, file).items()}
