"""Paths into an event's data: `$.a.b[0]` and `$['a b']`, nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from metering import exact_json
from runtime.errors import InvalidInput

Path = tuple[str | int, ...]
MAX_PATH: Final = 256

_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\[(?P<index>0|[1-9][0-9]{0,5})\]"
    r"|\['(?P<quoted>(?:[^'\\\x00-\x1f]|\\['\\])+)'\]"
)


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    r"""Split a path into names and indexes. Inside quotes, `\'` is a quote and `\\` a backslash.

    Raises: InvalidInput.
    """
    if not text.startswith("$") or len(text) > MAX_PATH:
        raise _wrong(text)
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise _wrong(text)
        if match["name"] is not None:
            steps.append(match["name"])
        elif match["index"] is not None:
            steps.append(int(match["index"]))
        else:
            steps.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        at = match.end()
    if not steps:
        raise _wrong(text)
    return tuple(steps)


def follow(path: Path, data: Mapping[str, Any]) -> Any:
    """Return what lies at `path`: None where nothing does, DUPLICATE where the way leads through one."""
    value: Any = data
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
        if value is None or value is exact_json.DUPLICATE:
            return value
    return value


def _wrong(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text[:80]!r} is no path; write $.name, $.a.b[0] or $['any name'], at most {MAX_PATH} characters"
    )
