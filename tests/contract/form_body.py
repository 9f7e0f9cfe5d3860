"""Decodes Stripe's bracket forms (`items[0][price]=…`) into nested mappings of text: the judge's own reading."""

from __future__ import annotations

import re
from typing import Any

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode_form(form: list[tuple[str, str]]) -> tuple[dict[str, Any], list[str]]:
    """Return the nested mappings (a list is one with the keys "0", "1", …) and what could not be placed."""
    root: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in form:
        matched = _KEY.match(key)
        if matched is None:
            problems.append(f"{key}: no such form of a name")
        elif not _place(root, [matched[1], *_PART.findall(matched[2])], value):
            problems.append(f"{key}: given twice, or both as a value and as a mapping")
    return root, problems


def _place(node: dict[str, Any], names: list[str], value: str) -> bool:
    *parents, last = names
    for name in parents:
        node = node.setdefault(name or str(len(node)), {})
        if not isinstance(node, dict):
            return False
    last = last or str(len(node))
    if last in node:
        return False
    node[last] = value
    return True


def list_of(value: Any) -> list[Any] | None:
    """Return a mapping with the keys "0", "1", … as the list that it stands for, None for anything else."""
    if not isinstance(value, dict):
        return None
    if list(value) != [str(index) for index in range(len(value))]:
        return None
    return list(value.values())
