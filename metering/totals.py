"""One aggregate of one meter, subject and window: parts that combine exactly, in any order, to the same number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from metering.meters import Aggregation
from metering.numbers import EXACT, FRACTION_DIGITS, ZERO
from metering.readings import Reading, unique_hash

_SCALE: Final = 10**FRACTION_DIGITS


class Place(NamedTuple):
    """Where an event stands among all; LATEST is the value of the greatest one."""

    time_us: int
    partition: int
    offset: int


@dataclass(slots=True)
class Partial:
    """What is known of some events of one meter; mutable, and only ever merged with others of its aggregation.

    `quantity` is the sum (SUM, AVG), the smallest (MIN), the largest (MAX) or the latest value (LATEST); `latest` is
    LATEST's place; `value_hashes` are UNIQUE_COUNT's. `events` is how many values made it.
    """

    aggregation: Aggregation
    events: int = 0
    quantity: Decimal | None = None
    latest: Place | None = None
    value_hashes: set[bytes] = field(default_factory=set)

    def add(self, reading: Reading, place: Place) -> None:
        """Count one more event, once."""
        latest = place if self.aggregation is Aggregation.LATEST else None
        hashes = set() if reading.text is None else {unique_hash(reading.text)}
        self.merge(Partial(self.aggregation, 1, reading.quantity, latest, hashes))

    def merge(self, other: Partial) -> None:
        """Take in a part made of other events."""
        assert self.aggregation is other.aggregation
        self.events += other.events
        self.value_hashes |= other.value_hashes
        if other.quantity is None:
            return
        if self.aggregation is Aggregation.LATEST:
            assert other.latest is not None
            if self.latest is None or other.latest > self.latest:
                self.latest, self.quantity = other.latest, other.quantity
        elif self.quantity is None:
            self.quantity = other.quantity
        else:
            self.quantity = _JOIN[self.aggregation](self.quantity, other.quantity)

    def value(self) -> Decimal | int | None:
        """Return the number that people ask for; of no events, 0 for sums and counts and None for the others."""
        if self.aggregation is Aggregation.COUNT:
            return self.events
        if self.aggregation is Aggregation.UNIQUE_COUNT:
            return len(self.value_hashes)
        if self.aggregation is Aggregation.AVG:
            return None if self.quantity is None else average(self.quantity, self.events)
        if self.aggregation is Aggregation.SUM and self.quantity is None:
            return ZERO
        return self.quantity


def combine(aggregation: Aggregation, parts: Iterable[Partial]) -> Partial:
    """Return the parts as one, leaving them as they are."""
    whole = Partial(aggregation)
    for part in parts:
        whole.merge(part)
    return whole


def average(total: Decimal, events: int) -> Decimal:
    """Divide once, rounded half-even at 18 fraction digits: in whole numbers, so that nothing is rounded twice."""
    scaled = int(EXACT.multiply(total, Decimal(_SCALE)))
    quotient, remainder = divmod(scaled, events)
    if 2 * remainder > events or (2 * remainder == events and quotient % 2):
        quotient += 1
    return EXACT.divide(Decimal(quotient), Decimal(_SCALE))


_JOIN: Final[dict[Aggregation, Callable[[Decimal, Decimal], Decimal]]] = {
    Aggregation.SUM: EXACT.add,
    Aggregation.AVG: EXACT.add,
    Aggregation.MIN: min,
    Aggregation.MAX: max,
}
