"""Expected against found: one check per line of the demo's table, with the first place of a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. `expected` and `found` are for people; `equal` decides."""

    where: str
    what: str
    expected: str
    found: str
    equal: bool
    difference: str = ""


@dataclass(slots=True)
class Comparison:
    """All checks of a run."""

    checks: list[Check] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Say whether everything is as it must be."""
        return all(check.equal for check in self.checks)

    def number(self, where: str, what: str, expected: int, found: int | Decimal) -> None:
        """Compare two numbers."""
        shown = int(found) if found == int(found) else found
        self.checks.append(Check(where, what, f"{expected:,}", f"{shown:,}", expected == found))

    def text(self, where: str, what: str, expected: str, found: str) -> None:
        """Compare two texts."""
        self.checks.append(Check(where, what, expected, found, expected == found))

    def table(self, where: str, what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        """Compare two tables, cell by cell: no cell may be missing, differ, or be too many."""
        places = sorted({*expected, *found}, key=str)
        wrong = [place for place in places if expected.get(place) != found.get(place)]
        difference = ""
        if wrong:
            first = wrong[0]
            difference = f"{_show(first)}: expected {expected.get(first)}, found {found.get(first)}"
        right = len(places) - len(wrong)
        self.checks.append(
            Check(where, what, f"{len(expected):,} numbers", f"{right:,} equal", not wrong, difference),
        )


def _show(place: object) -> str:
    return " ".join(map(str, place)) if isinstance(place, tuple) else str(place)
