"""What a meter is, and how one is built from what people write; `metering.readings` reads events with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from metering.events import RESERVED_TYPE_PREFIX
from metering.numbers import InvalidQuantity, parse_quantity
from metering.paths import parse_path
from metering.positions import active
from metering.texts import text_problem
from runtime.errors import InvalidInput

MAX_GROUPS: Final = 16
MAX_FILTERS: Final = 16
MAX_CHOICES: Final = 100
MAX_CHOICE_CHARS: Final = 1024

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_GROUP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class Aggregation(StrEnum):
    """How a meter makes one number of many events."""

    SUM = "SUM"
    COUNT = "COUNT"
    UNIQUE_COUNT = "UNIQUE_COUNT"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"
    LATEST = "LATEST"


class Operator(StrEnum):
    """How a filter compares."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NIN = "nin"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    EXISTS = "exists"


Scalar = str | bool | Decimal


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on an event's data; all of a meter's must hold.

    `value`: a string, bool or Decimal for eq and ne; a tuple of these for in and nin; a Decimal for gt, gte, lt and
    lte; a bool for exists.
    """

    property: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter; immutable but for its names. Made by `build_meter`, which checks it."""

    id: str
    organization_id: str
    slug: str
    event_type: str
    aggregation: Aggregation
    value_property: str | None = None
    group_by: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Name to path, in the order of the names."""
    filters: tuple[Filter, ...] = ()
    effective_positions: tuple[int, ...] = ()
    archived_positions: tuple[int, ...] | None = None

    def active(self, partition: int, position: int) -> bool:
        """Say whether the meter reads the record at this place of the log."""
        return active(self.effective_positions, self.archived_positions, partition, position)


def meter_active(meter: Meter, partition: int, position: int) -> bool:
    """Say whether a meter reads the record at this place of the log."""
    return meter.active(partition, position)


def build_meter(
    *,
    id: str,
    organization_id: str,
    slug: object,
    event_type: object,
    aggregation: object,
    value_property: object = None,
    group_by: object = None,
    filters: object = None,
    effective_positions: Sequence[int] = (),
    archived_positions: Sequence[int] | None = None,
) -> Meter:
    """Check a meter as people or a store wrote it, and build it.

    `filters`: mappings of property, operator and value (or Filter). Numbers must come as int or Decimal: a float has
    already lost what was written. Raises: InvalidInput, whose `details["field"]` names the place.
    """
    kind = _aggregation(aggregation)
    return Meter(
        id=id,
        organization_id=organization_id,
        slug=_slug(slug),
        event_type=_event_type(event_type),
        aggregation=kind,
        value_property=_value_property(value_property, kind),
        group_by=_group_by(group_by),
        filters=_filters(filters),
        effective_positions=tuple(effective_positions),
        archived_positions=None if archived_positions is None else tuple(archived_positions),
    )


def build_filter(value: object, *, where: str = "filter") -> Filter:
    """Check one filter. Raises: InvalidInput."""
    if isinstance(value, Filter):
        value = {"property": value.property, "operator": value.operator, "value": value.value}
    if not isinstance(value, Mapping) or value.keys() != {"property", "operator", "value"}:
        raise _invalid(where, "must be an object of property, operator and value")
    try:
        operator = Operator(value["operator"])
    except ValueError:
        raise _invalid(f"{where}.operator", f"must be one of {', '.join(Operator)}") from None
    path = _path(value["property"], f"{where}.property")
    return Filter(path, operator, _filter_value(operator, value["value"], f"{where}.value"))


def filter_as_json(condition: Filter) -> dict[str, Any]:
    """Return what `build_filter` reads, numbers still Decimal."""
    value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return {"property": condition.property, "operator": str(condition.operator), "value": value}


def _invalid(where: str, message: str) -> InvalidInput:
    return InvalidInput(f"{where} {message}", field=where)


def _slug(value: object) -> str:
    if not isinstance(value, str) or _SLUG.fullmatch(value) is None:
        raise _invalid("slug", "must be 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit")
    return value


def _event_type(value: object) -> str:
    problem = text_problem(value)
    if problem is not None:
        raise _invalid("event_type", problem)
    assert isinstance(value, str)
    if value.startswith(RESERVED_TYPE_PREFIX):
        raise _invalid("event_type", f"must not begin with {RESERVED_TYPE_PREFIX}: such events are refused")
    return value


def _aggregation(value: object) -> Aggregation:
    try:
        return Aggregation(value)  # type: ignore[arg-type]  # anything else raises
    except ValueError:
        raise _invalid("aggregation", f"must be one of {', '.join(Aggregation)}") from None


def _value_property(value: object, aggregation: Aggregation) -> str | None:
    if aggregation is Aggregation.COUNT:
        if value is not None:
            raise _invalid("value_property", "must be absent for COUNT, which counts events")
        return None
    if value is None:
        raise _invalid("value_property", f"is required for {aggregation}: the path of the value, such as $.tokens")
    return _path(value, "value_property")


def _path(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _invalid(where, "must be a path such as $.tokens")
    try:
        parse_path(value)
    except InvalidInput as exc:
        raise _invalid(where, f"is wrong: {exc.message}") from exc
    return value


def _group_by(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _invalid("group_by", "must be an object of names and paths")
    if len(value) > MAX_GROUPS:
        raise _invalid("group_by", f"must not have more than {MAX_GROUPS} names")
    for name in value:
        if not isinstance(name, str) or _GROUP_NAME.fullmatch(name) is None:
            raise _invalid("group_by", f"has the name {str(name)[:64]!r}; names are 1 to 63 letters, digits and _")
    return {name: _path(value[name], f"group_by.{name}") for name in sorted(value)}


def _filters(value: object) -> tuple[Filter, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise _invalid("filters", "must be a list of filters")
    if len(value) > MAX_FILTERS:
        raise _invalid("filters", f"must not be more than {MAX_FILTERS}")
    return tuple(build_filter(item, where=f"filters[{i}]") for i, item in enumerate(value))


def _filter_value(operator: Operator, value: object, where: str) -> Scalar | tuple[Scalar, ...]:
    if operator is Operator.EXISTS:
        if not isinstance(value, bool):
            raise _invalid(where, "must be true or false")
        return value
    if operator in (Operator.IN, Operator.NIN):
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_CHOICES:
            raise _invalid(where, f"must be a list of 1 to {MAX_CHOICES} strings, numbers or booleans")
        return tuple(_scalar(item, f"{where}[{i}]") for i, item in enumerate(value))
    if operator in (Operator.EQ, Operator.NE):
        return _scalar(value, where)
    if isinstance(value, str | bool):
        raise _invalid(where, f"must be a number for {operator}")
    return _number(value, where)


def _scalar(value: object, where: str) -> Scalar:
    if isinstance(value, str):
        if len(value) > MAX_CHOICE_CHARS:
            raise _invalid(where, f"must not be longer than {MAX_CHOICE_CHARS} characters")
        return value
    return value if isinstance(value, bool) else _number(value, where)


def _number(value: object, where: str) -> Decimal:
    try:
        return parse_quantity(value)
    except InvalidQuantity as exc:
        raise _invalid(where, f"must be a string, number or boolean that fits: {exc}") from exc
