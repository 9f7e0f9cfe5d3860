"""A measured figure: what it is, on what it was measured, and how it compares. One JSON line each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

SMALLER_IS_BETTER = frozenset({"s", "ms", "MB", "µs/event"})


class WrongNumbers(Exception):
    """What was counted is not what was sent: the speed of a wrong count is no figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `baseline`: the same job done in the stock way; `target`: what DESIGN §8 asks for."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    target: float | None = None
    on: Mapping[str, Any] = field(default_factory=dict)
    """The load: subjects, meters, ids, partitions …"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else was seen in the same run."""

    @property
    def ratio(self) -> float | None:
        """How many times the baseline."""
        return None if not self.baseline else self.value / self.baseline

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.unit in SMALLER_IS_BETTER else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """Return the line."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "baseline": None if self.baseline is None else _rounded(self.baseline),
            "ratio": None if self.ratio is None else round(self.ratio, 2),
            "target": self.target,
            "met": self.met,
            "on": {**self.on, "cpus": os.cpu_count()},
            "details": dict(self.details),
        }


def as_table(figures: Iterable[Figure]) -> Table:
    """Return the figures for people to read."""
    table = Table("figure", "value", "", "× stock", "target", box=None, header_style="bold")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"
    marks = {True: "[green]✓[/green] ", False: "[red]✗[/red] ", None: ""}
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
        target = "" if figure.target is None else f"{marks[figure.met]}{figure.target:,.0f}"
        table.add_row(figure.name, f"{_rounded(figure.value):,}", figure.unit, ratio, target)
    return table


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))]


def _rounded(value: float) -> float:
    """Four digits are more than a benchmark knows."""
    return round(value) if abs(value) >= 1_000 else float(f"{value:.4g}")
