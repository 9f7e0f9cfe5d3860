"""Events in columns: many records at once through Arrow's JSON reader; `events.parse_event` reads what it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import json as arrow_json

from metering.paths import Path, follow
from metering.screens import Lines, find_unsafe

ENVELOPE: Final = (
    "specversion", "id", "source", "type", "subject", "time", "organization", "authorization", "data_base64",
)  # fmt: skip

_RANGE_RECORDS: Final = 4_000
_RANGE_BYTES: Final = 32_000_000
_SMALLEST_RANGE: Final = 8  # reading so few one by one costs no more than halving further


class Kind(Enum):
    """How a path's values are read; what differs is refused by Arrow, and read one by one."""

    INTEGER = pa.int64()
    DECIMAL = pa.decimal128(29, 9)  # a larger sum of precision and scale wraps without an error; takes strings too
    TEXT = pa.string()
    BOOLEAN = pa.bool_()


@dataclass(frozen=True)
class ReadPlan:
    """Which paths of `data` are read besides the envelope, and as what."""

    kinds: Mapping[Path, Kind]

    @cached_property
    def schema(self) -> pa.Schema:
        """Return the schema that Arrow reads with; a name that it holds may not be said twice."""
        fields = [pa.field(name, pa.string()) for name in ENVELOPE]
        return pa.schema([*fields, pa.field("data", _struct(self.kinds))])

    @cached_property
    def holds_decimals(self) -> bool:
        """Say whether a column of decimals is read."""
        return Kind.DECIMAL in self.kinds.values()


@dataclass(slots=True)
class ColumnReader:
    """Reads records into a table: `row`, the envelope, and a column for each path of the plan, named by its place."""

    plan: ReadPlan
    refused: list[int] = field(default_factory=list)
    """Rows that Arrow did not read, in no order."""
    _tables: list[pa.Table] = field(default_factory=list)

    def read(self, values: list[bytes], rows: NDArray[np.int64]) -> pa.Table:
        """Return the records that could be read, in their order; the others are in `refused`. Values are not empty."""
        ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
        start = 0
        while start < len(values):
            begin = ends[start - 1] if start else 0
            by_size = int(np.searchsorted(ends, begin + _RANGE_BYTES, side="right"))
            stop = min(start + _RANGE_RECORDS, max(by_size, start + 1))
            self._read_range(values[start:stop], rows[start:stop])
            start = stop
        if not self._tables:
            return self._flatten(self.plan.schema.empty_table(), np.zeros(0, np.int64))
        return pa.concat_tables(self._tables).combine_chunks()

    def _read_range(self, values: list[bytes], rows: NDArray[np.int64]) -> None:
        lines = Lines(values)
        unsafe = find_unsafe(values, lines, decimals=self.plan.holds_decimals)
        if not unsafe.any():
            self._parse(lines.joined, values, rows)
            return
        self.refused.extend(rows[unsafe].tolist())
        safe = [value for value, is_unsafe in zip(values, unsafe.tolist(), strict=True) if not is_unsafe]
        self._parse(_join(safe), safe, rows[~unsafe])

    def _parse(self, joined: bytes, values: list[bytes], rows: NDArray[np.int64]) -> None:
        """Read a screened range, in halves where Arrow refuses it."""
        if not values:
            return
        table = self._parse_json(joined)
        if table is not None and len(table) == len(values):
            self._tables.append(self._flatten(table, rows))
        elif len(values) <= _SMALLEST_RANGE:
            self.refused.extend(rows.tolist())
        else:
            half = len(values) // 2
            self._parse(_join(values[:half]), values[:half], rows[:half])
            self._parse(_join(values[half:]), values[half:], rows[half:])

    def _parse_json(self, joined: bytes) -> pa.Table | None:
        try:
            return arrow_json.read_json(
                pa.BufferReader(joined),
                read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(joined) + 1),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=self.plan.schema, newlines_in_values=False, unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowException:
            return None

    def _flatten(self, table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
        columns = {"row": pa.array(rows)} | {name: table[name] for name in ENVELOPE}
        for place, path in enumerate(self.plan.kinds):
            columns[str(place)] = pc.struct_field(table["data"], list(path))
        return pa.table(columns)


def readable_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that can be columns: names only, and none that leads through the value of another."""
    known = set(paths)
    names_only = [path for path in known if all(isinstance(step, str) and step.isprintable() for step in path)]
    return sorted(path for path in names_only if not any(path[:length] in known for length in range(1, len(path))))


def prevailing_kind(path: Path, samples: list[Mapping[str, Any]], *, number: bool) -> Kind | None:
    """Return how most of the samples (read exactly) want a path to be read; None where none has a say.

    `number`: the path is a meter's quantity, for which one fraction or decimal string is enough to read decimals.
    """
    wishes = Counter(_kind_of(follow(path, sample), number=number) for sample in samples)
    del wishes[None]
    if number and Kind.DECIMAL in wishes:
        return Kind.DECIMAL
    return wishes.most_common(1)[0][0] if wishes else None


def _kind_of(value: object, *, number: bool) -> Kind | None:
    if isinstance(value, bool):
        return None if number else Kind.BOOLEAN
    if isinstance(value, Decimal):
        is_integer = value.is_finite() and value.as_tuple().exponent == 0
        return Kind.INTEGER if is_integer else Kind.DECIMAL if number else None
    if isinstance(value, str):
        return Kind.DECIMAL if number else Kind.TEXT
    return None


def _join(values: list[bytes]) -> bytes:
    return b"\n".join(values) + b"\n"


def _struct(kinds: Mapping[Path, Kind]) -> pa.StructType:
    below: dict[str, dict[Path, Kind]] = {}
    for path, kind in kinds.items():
        below.setdefault(str(path[0]), {})[path[1:]] = kind
    return pa.struct([pa.field(name, rest[()].value if () in rest else _struct(rest)) for name, rest in below.items()])
