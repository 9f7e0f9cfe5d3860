"""JSON without loss: numbers become Decimal, and a name that is said twice is seen."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from metering.numbers import EXACT

MAX_DEPTH: Final = 32
"""Of objects and arrays, the outermost included; far below Python's own limit of recursion."""


class Duplicate(Enum):
    """The type of `DUPLICATE`."""

    DUPLICATE = "DUPLICATE"


DUPLICATE: Final = Duplicate.DUPLICATE
"""Stands for the value of a name that its object says twice."""


@dataclass(frozen=True, slots=True)
class UnreadableNumber:
    """A JSON number whose exponent no Decimal can hold; it equals only its own text."""

    text: str


class InvalidJson(ValueError):
    """The bytes are not JSON as we read it; the text says why."""


class TooDeep(InvalidJson):
    """Nested beyond MAX_DEPTH."""


# A quote alone is a text that never ends. Unless that ended the scan, each quote after it would search to the end.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{}]', re.DOTALL)


def loads(raw: bytes) -> Any:
    """Decode UTF-8 JSON: numbers as Decimal, names said twice as DUPLICATE.

    Raises: InvalidJson (NaN, Infinity and byte order marks too), TooDeep.
    """
    if _is_too_deep(raw):
        raise TooDeep(f"nested more than {MAX_DEPTH} deep")
    try:
        return _DECODER.decode(raw.decode())
    except UnicodeDecodeError as exc:
        raise InvalidJson(f"not UTF-8 at byte {exc.start}") from exc
    except json.JSONDecodeError as exc:
        raise InvalidJson(f"{exc.msg} at character {exc.pos}") from exc


def _is_too_deep(raw: bytes) -> bool:
    """Count openings first: most events have fewer than would be too deep, and need no scan."""
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKENS.finditer(raw):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in (b"]", b"}"):
            depth -= 1
        elif mark == b'"':
            return False  # the decoder, too, gets no further than here
    return False


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                built[name] = DUPLICATE
            seen.add(name)
    return built


def _number(text: str) -> Decimal | UnreadableNumber:
    try:
        return Decimal(text, EXACT)
    except InvalidOperation:
        return UnreadableNumber(text)


def _refuse_constant(name: str) -> Any:
    raise InvalidJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_number, parse_int=_number, parse_constant=_refuse_constant
)
