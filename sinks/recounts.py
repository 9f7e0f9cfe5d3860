"""One shape for the totals of both stores, so that they can be compared with each other and with a recount."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from metering.meters import Aggregation
from metering.totals import average


class HourKey(NamedTuple):
    """A meter by slug, a subject, and an hour in UTC."""

    meter: str
    subject: str
    hour: datetime


@dataclass(frozen=True, slots=True)
class HourTotal:
    """Everything that a store keeps of one meter, subject and hour; which part is the number depends on the meter."""

    events: int
    total: Decimal | None
    smallest: Decimal | None
    largest: Decimal | None
    latest: Decimal | None
    uniques: int

    def value(self, aggregation: Aggregation) -> Decimal | None:
        """Return the number that people ask for."""
        if aggregation is Aggregation.AVG:
            return None if self.total is None else average(self.total, self.events)
        numbers: dict[Aggregation, Decimal | int | None] = {
            Aggregation.SUM: self.total,
            Aggregation.COUNT: self.events,
            Aggregation.UNIQUE_COUNT: self.uniques,
            Aggregation.MIN: self.smallest,
            Aggregation.MAX: self.largest,
            Aggregation.LATEST: self.latest,
        }
        number = numbers[aggregation]
        return None if number is None else Decimal(number)
