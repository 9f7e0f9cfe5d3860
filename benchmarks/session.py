"""One run of the benchmark: its engines, its options, and the logs that several figures read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.engines import Engines
from benchmarks.figures import WrongNumbers
from benchmarks.load import Load, LoadShape
from benchmarks.producing import Feed, count_records
from runtime.clock import utc_now
from runtime.settings import KafkaSettings
from sinks.kafka.topics import create_topics

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured. `quick` proves that it works; `full` adds what takes minutes each."""

    events: int
    quick: bool = False
    full: bool = False
    minutes: float = 0.0

    def scaled(self, usual: int, quick: int) -> int:
        """Return a size of something else than the main load."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class FilledLog:
    """A topic with a load in it."""

    kafka: KafkaSettings
    load: Load

    def named(self) -> dict[str, int | str]:
        """Return what a figure tells of it."""
        return {**self.load.shape.named(), "partitions": self.load.partitions}


class Session:
    """What the figures share."""

    def __init__(self, engines: Engines, options: Options, say: Say) -> None:
        self.engines = engines
        self.options = options
        self.say = say
        self.stock_events_a_second: float | None = None
        """The baseline, once it is measured."""
        self._logs: dict[LoadShape, FilledLog] = {}
        self._prefixes = 0

    def empty_log(self) -> KafkaSettings:
        """Make a topic of usage events."""
        self._prefixes += 1
        kafka = self.engines.kafka(f"bench{self._prefixes}.")
        asyncio.run(create_topics(kafka))
        return kafka

    def filled_log(self, shape: LoadShape) -> FilledLog:
        """Return a topic with this load; the same one when it was asked for before."""
        if shape not in self._logs:
            began = time.perf_counter()
            kafka = self.empty_log()
            load = Load(shape, partitions=kafka.partitions, until=utc_now())
            Feed(kafka).send_all(load.records())
            found = count_records(kafka)
            if found != shape.events:
                raise WrongNumbers(f"The log has {found} records, {shape.events} were sent.")
            a_second = shape.events / (time.perf_counter() - began)
            self.say(f"filled a log with {shape.events:,} events, {a_second:,.0f}/s")
            self._logs[shape] = FilledLog(kafka, load)
        return self._logs[shape]

    def main_shape(self) -> LoadShape:
        """Return the reference load."""
        return LoadShape(self.options.events)
