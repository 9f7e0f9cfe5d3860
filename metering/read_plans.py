"""Which paths of `data` a block's meters read, and as what: chosen by looking, changed where the look was wrong.

The choice decides how fast a record is read, never what is read: what does not fit is read by the exact rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from metering import exact_json
from metering.columns import Kind, ReadPlan, prevailing_kind, readable_paths
from metering.meters import Aggregation, Meter
from metering.paths import Path, parse_path

_SAMPLES: Final = 64
_REFUSED_SHARE: Final = 1 / 16  # of a block; below it, reading the few exactly is cheaper than being wrong about many
_MAX_COLUMNS: Final = 256  # a column costs time in every record; the meters beyond read event by event


@dataclass(slots=True)
class ReadPlanner:
    """Makes the plan for each block; remembers how each path was best read."""

    meters: Sequence[Meter]
    _kinds: dict[Path, Kind] = field(default_factory=dict)
    _paths: dict[bytes, dict[Path, bool]] = field(default_factory=dict)

    def plan_for(self, partition: int, position: int, values: Sequence[bytes | None]) -> ReadPlan:
        """Return the plan for a block that begins at this place of the log and holds these records."""
        in_force = bytes(meter.active(partition, position) for meter in self.meters)
        paths = self._paths.get(in_force)
        if paths is None:
            active = [meter for meter, is_active in zip(self.meters, in_force, strict=True) if is_active]
            paths = self._paths[in_force] = _paths_read(active)
        if any(path not in self._kinds for path in paths):
            self._learn(paths, list(_sample(values)), replace=False)
        return ReadPlan({path: self._kinds.get(path, _unknown(number)) for path, number in paths.items()})

    def look_again(self, refused: Iterable[Mapping[str, Any]], refused_count: int, count: int) -> None:
        """Learn from records that did not fit the last plan, where they were many. `refused`: data, exactly read."""
        if refused_count > count * _REFUSED_SHARE:
            samples = [data for data, _ in zip(refused, range(_SAMPLES), strict=False)]
            for paths in self._paths.values():
                self._learn(paths, samples, replace=True)

    def _learn(self, paths: Mapping[Path, bool], samples: list[Mapping[str, Any]], *, replace: bool) -> None:
        for path, number in paths.items():
            if replace or path not in self._kinds:
                kind = prevailing_kind(path, samples, number=number)
                if kind is not None and self._kinds.get(path) is not Kind.DECIMAL:  # which reads integers as well
                    self._kinds[path] = kind


def paths_of(meter: Meter) -> tuple[Path | None, list[Path]]:
    """Return the path of a meter's quantity, if it reads one, and the paths that it reads as plain values."""
    value = None if meter.value_property is None else parse_path(meter.value_property)
    plain = [parse_path(text) for text in meter.group_by.values()]
    plain += [parse_path(condition.property) for condition in meter.filters]
    if meter.aggregation is Aggregation.UNIQUE_COUNT and value is not None:
        return None, [value, *plain]
    return value, plain


def _paths_read(meters: Iterable[Meter]) -> dict[Path, bool]:
    """Return the paths that can be columns, and whether a meter reads a quantity there."""
    read: dict[Path, bool] = {}
    for meter in meters:
        number, plain = paths_of(meter)
        for path in plain:
            read.setdefault(path, False)
        if number is not None:
            read[number] = True
    return {path: read[path] for path in readable_paths(read)[:_MAX_COLUMNS]}


def _sample(values: Sequence[bytes | None]) -> Iterable[Mapping[str, Any]]:
    for value in values[:: max(1, len(values) // _SAMPLES)]:
        try:
            body = exact_json.loads(value or b"")
        except exact_json.InvalidJson:
            continue  # only a look; the record itself is rejected where it is read
        data = body.get("data") if isinstance(body, dict) else None
        if isinstance(data, dict):
            yield data


def _unknown(number: bool) -> Kind:
    return Kind.INTEGER if number else Kind.TEXT
