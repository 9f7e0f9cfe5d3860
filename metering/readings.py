"""What one meter reads from one event: nothing, a value with its groups, or a reason why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import xxhash

from metering.exact_json import DUPLICATE, UnreadableNumber
from metering.meters import Aggregation, Filter, Meter, Operator
from metering.numbers import InvalidQuantity, canonical_text, parse_quantity
from metering.paths import follow, parse_path
from metering.rejections import Code, MeterSkip

MAX_UNIQUE_CHARS: Final = 1024
MAX_GROUP_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event adds to a meter.

    `quantity`: for SUM, AVG, MIN, MAX and LATEST. `text`: for UNIQUE_COUNT, the value's canonical text. Neither for
    COUNT. `groups`: in the order of the meter's `group_by`, "" where the event has none.
    """

    quantity: Decimal | None
    text: str | None
    groups: tuple[str, ...]


class _Unreadable(Exception):  # never leaves this module: it carries the skip out of the checks
    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.skip = MeterSkip(code, message)


def read_meter(meter: Meter, data: Mapping[str, Any]) -> Reading | MeterSkip | None:
    """Read the data of an event of the meter's type; None where a filter keeps it out.

    Filters come first, so an event that is kept out is never blamed for its value. Null is missing, everywhere.
    """
    try:
        if not all(matches(condition, data) for condition in meter.filters):
            return None
        quantity, text = _value(meter, data)
        groups = tuple(_group(name, path, data) for name, path in meter.group_by.items())
        return Reading(quantity, text, groups)
    except _Unreadable as unreadable:
        return unreadable.skip


def unique_hash(text: str) -> bytes:
    """Return the 16 bytes that stand for a value in UNIQUE_COUNT: xxh3-128, big-endian, of its UTF-8 text."""
    return bytes(xxhash.xxh3_128_digest(text.encode()))


def matches(condition: Filter, data: Mapping[str, Any]) -> bool:
    """Say whether a filter lets an event through.

    Types are never converted: the string "5" is not the number 5; numbers compare by exact value, strings by their
    characters. `ne` and `nin` are the exact opposites of `eq` and `in`, so a missing property passes them and fails
    all others but `exists: false`. An order holds between numbers only; a decimal string is a string here.
    """
    value = follow(parse_path(condition.property), data)
    if value is DUPLICATE:
        raise _Unreadable(Code.METER_FILTER_INVALID, f"{condition.property} is said twice")
    wanted, operator = condition.value, condition.operator
    if operator is Operator.EXISTS:
        return (value is not None) == wanted
    if operator in (Operator.EQ, Operator.NE):
        return _same(value, wanted) == (operator is Operator.EQ)
    if operator in (Operator.IN, Operator.NIN):
        assert isinstance(wanted, tuple)
        return any(_same(value, choice) for choice in wanted) == (operator is Operator.IN)
    assert isinstance(wanted, Decimal)
    return isinstance(value, Decimal) and _in_order(value, operator, wanted)


def _same(value: object, wanted: object) -> bool:
    return type(value) is type(wanted) and value == wanted


def _in_order(value: Decimal, operator: Operator, wanted: Decimal) -> bool:
    if operator is Operator.GT:
        return value > wanted
    if operator is Operator.GTE:
        return value >= wanted
    if operator is Operator.LT:
        return value < wanted
    return value <= wanted


def _value(meter: Meter, data: Mapping[str, Any]) -> tuple[Decimal | None, str | None]:
    path = meter.value_property
    if path is None:
        return None, None
    value = follow(parse_path(path), data)
    if value is None:
        raise _Unreadable(Code.METER_VALUE_MISSING, f"{path} is missing or null")
    try:
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            return None, _plain_text(value, MAX_UNIQUE_CHARS)
        return _quantity(value), None
    except ValueError as exc:
        raise _Unreadable(Code.METER_VALUE_INVALID, f"{path}: {exc}") from exc


def _group(name: str, path: str, data: Mapping[str, Any]) -> str:
    value = follow(parse_path(path), data)
    try:
        return "" if value is None else _plain_text(value, MAX_GROUP_CHARS)
    except ValueError as exc:
        raise _Unreadable(Code.METER_GROUP_INVALID, f"group {name}, {path}: {exc}") from exc


def _quantity(value: object) -> Decimal:
    if value is DUPLICATE:
        raise InvalidQuantity("said twice")
    return parse_quantity(value)


def _plain_text(value: object, max_chars: int) -> str:
    """Write a string, number or boolean as text: 5, 5.0 and "5" are one value, and so are true and "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return canonical_text(parse_quantity(value))
    if not isinstance(value, str):
        raise ValueError(_why_not_plain(value))  # noqa: TRY004  # one kind of error for all that is no plain text
    if len(value) > max_chars:
        raise ValueError(f"longer than {max_chars} characters")
    if "\x00" in value:
        raise ValueError("holds a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("holds a lone surrogate")
    return value


def _why_not_plain(value: object) -> str:
    if value is DUPLICATE:
        return "said twice"
    if isinstance(value, UnreadableNumber):
        return "a number with an exponent beyond reason"
    return "neither a string nor a number nor a boolean"
