"""Named statements of a `.sql` file: `-- name: move_position` begins the one of that name."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def read_statements(package: str, file: str) -> dict[str, str]:
    """Return the statements of `<file>.sql` in a package, by name.

    Raises: ValueError for a file with text before its first name or with a name said twice.
    """
    text = files(package).joinpath(f"{file}.sql").read_text()
    head, *pairs = _NAME.split(text)
    names, bodies = pairs[0::2], pairs[1::2]
    if any(line and not line.startswith("--") for line in head.splitlines()) or len(set(names)) != len(names):
        raise ValueError(f"{file}.sql: every statement needs a `-- name:` of its own")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}
