"""Named SQL: `load("blocks")["move_position"]` is the block `-- name: move_position` of `blocks.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load(file: str) -> dict[str, bytes]:
    """Return the named statements of `<file>.sql`, as psycopg takes them.

    Raises: ValueError for a file with text before its first name or with a name said twice.
    """
    text = files(__package__).joinpath(f"{file}.sql").read_text()
    head, *pairs = _NAME.split(text)
    names, bodies = pairs[0::2], pairs[1::2]
    if any(line and not line.startswith("--") for line in head.splitlines()) or len(set(names)) != len(names):
        raise ValueError(f"{file}.sql: every statement needs a `-- name:` of its own")
    return {name: body.strip().encode() for name, body in zip(names, bodies, strict=True)}
