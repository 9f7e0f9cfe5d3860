"""What is sent, and in which order: decided by a fixed seed, so that every run sends the same requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, cycle
from typing import Any, Final

import polars as pl

from devstack.demo import extras
from devstack.demo.bodies import Attributes, describe, rewrite, write, write_time
from devstack.demo.extras import Sample
from devstack.demo.sendings import Ending, Sending, Tally, Way, tally
from metering.rejections import Code

SEED: Final = 20231116
_REPEATED: Final = 0.05
_REPEATED_THE_OTHER_WAY: Final = 0.4
_CONFLICTS: Final = 45
_AS_STRINGS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the demo sends."""

    mixed: list[Sending]
    """In any order and at once."""
    conflicts: list[Sending]
    """Once the others are counted: otherwise the other body could be the first."""
    counted_extras: pl.DataFrame = field(repr=False)
    """customer and time of the events beyond the trace that the meter of requests counts."""

    @property
    def tally(self) -> Tally:
        """Return how many must end how."""
        return tally(chain(self.mixed, self.conflicts))


def make_plan(requests: pl.DataFrame, *, organization: str, now: datetime) -> Plan:
    """Plan the sending of `trace.shifted_trace(now)`."""
    planner = _Planner(requests, organization)
    mixed = [*planner.originals(), *planner.repeats()]
    conflicts = planner.conflicts()
    samples = planner.samples()
    wrong = list(extras.wrong_typed_sendings(samples, organization=organization))
    mixed += [sending for sending, _ in wrong]
    mixed += extras.unmetered_sendings(samples, organization=organization)
    mixed += extras.spoiled_sendings(samples, organization=organization, now=now)
    planner.chance.shuffle(mixed)
    counted = pl.DataFrame(
        {"customer": [sample.customer for _, sample in wrong], "time": [sample.time for _, sample in wrong]},
        schema={"customer": pl.Utf8, "time": pl.Datetime("us", "UTC")},
    )
    return Plan(mixed, conflicts, counted)


class _Planner:
    """Turns rows of the trace into sendings; every choice comes from one generator."""

    def __init__(self, requests: pl.DataFrame, organization: str) -> None:
        self.chance = random.Random(SEED)  # noqa: S311 - a fixed seed is the point
        self._organization = organization
        self._rows = requests.to_dicts()
        self._events = [self._event(row) for row in self._rows]
        # Half over HTTP; the other half is shared by the two Kafka clients.
        self._ways = [
            Way.HTTP if row % 2 else (Way.AIOKAFKA, Way.LIBRDKAFKA)[row // 2 % 2] for row in range(len(self._rows))
        ]
        self.chance.shuffle(self._ways)

    def originals(self) -> list[Sending]:
        """Return every request of the trace."""
        return [self._send(row, way, write, Ending.COUNTED) for row, way in enumerate(self._ways)]

    def repeats(self) -> list[Sending]:
        """Return some of them again, in equal bytes or in other words, and sometimes over another way."""
        return [self._repeat(row) for row in self._some(round(len(self._rows) * _REPEATED))]

    def conflicts(self) -> list[Sending]:
        """Return events of the same ids that say something else."""
        return [
            self._send(
                row, self.chance.choice(list(Way)), lambda event: write(extras.conflicting(event)), Ending.CONFLICT
            )
            for row in self._some(_CONFLICTS)
        ]

    def samples(self) -> Iterator[Sample]:
        """Yield requests for extra events to be modelled on, without end."""
        for row in cycle(self._some(500)):
            yield Sample(self._events[row], self._rows[row]["customer"], self._rows[row]["time"])

    def _some(self, count: int) -> list[int]:
        return self.chance.sample(range(len(self._rows)), count)

    def _event(self, row: dict[str, Any]) -> Attributes:
        names = ("event_id", "customer", "model", "time", "input_tokens", "output_tokens")
        event = describe(**{name: row[name] for name in names}).but(time=write_time(row["time"], self.chance))
        # Decimal strings are as good as JSON numbers.
        as_string = self.chance.random() < _AS_STRINGS
        return event.but_data(input_tokens=f'"{row["input_tokens"]}"') if as_string else event

    def _repeat(self, row: int) -> Sending:
        way = self._ways[row]
        if self.chance.random() < _REPEATED_THE_OTHER_WAY:
            way = self.chance.choice([other for other in Way if (other is Way.HTTP) != (way is Way.HTTP)])
        writer = write if self.chance.random() < 0.5 else lambda event: rewrite(event, self.chance)
        return self._send(row, way, writer, Ending.DUPLICATE)

    def _send(self, row: int, way: Way, writer: Callable[[Attributes], bytes], ending: Ending) -> Sending:
        """Send a row's event; on Kafka its organization stands in the header or in the body."""
        event, header = self._events[row], None
        if way is not Way.HTTP:
            if self.chance.random() < 0.5:
                header = self._organization
            else:
                event = event.but(organization=self._organization)
        code = str(Code.CONFLICT) if ending is Ending.CONFLICT else None
        return Sending(way, self._rows[row]["customer"], writer(event), ending, code, organization=header)
