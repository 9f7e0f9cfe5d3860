"""The reference load of DESIGN §8, made from a seed: the records, and what they have to add up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metering.partitions import home_partition

ORGANIZATION = "bench"
EVENT_TYPE = "llm.request"
VALUE_PROPERTY = "$.tokens"

_REPEATS = 0.05
# Clients resend within minutes: a repeat is one of the last so many events.
_RECENT = 100_000
_EVENT_BYTES = 319
# The pace at which event time goes on, that of the figure to be reached: a block of 50,000 spans a third of a second a
# partition, seconds over all.
_EVENTS_A_SECOND = 150_000
_CHUNK = 50_000
_EVENT = (
    b'{"specversion":"1.0","id":"%016x%016x","source":"app/gateway","type":"llm.request","subject":"customer-%06d",'
    b'"time":"%sZ","organization":"bench","data":{"tokens":%d,"model":"model-%d","region":"eu-west-1","path":"%s"}}'
)


class Record(NamedTuple):
    """As it is produced."""

    partition: int
    key: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What a load is like; `spread_s`: event times lie anywhere in so many seconds, else they follow arrival."""

    events: int
    subjects: int = 10_000
    spread_s: int | None = None
    seed: int = 1

    def named(self) -> dict[str, int | str]:
        """Return it as a figure tells it."""
        times = "follow arrival" if self.spread_s is None else f"anywhere in {self.spread_s} s"
        return {"events": self.events, "subjects": self.subjects, "repeats_percent": 5, "event_times": times}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the first records of each partition add up to."""

    records: int
    duplicates: int
    counts: NDArray[np.int64]
    """Events by subject number."""
    sums: NDArray[np.int64]
    """Tokens by subject number."""


class Load:
    """A load whose last event happens at `until`."""

    def __init__(self, shape: LoadShape, *, partitions: int, until: datetime) -> None:
        random = np.random.default_rng(shape.seed)
        self.shape = shape
        self.partitions = partitions
        repeated = random.random(shape.events) < _REPEATS
        repeated[0] = False
        newest = np.cumsum(~repeated) - 1
        back = random.integers(0, _RECENT, shape.events)
        self._originals = np.where(repeated, np.maximum(0, newest - back), newest)
        """Which event each record is."""
        originals = int(newest[-1]) + 1
        self._subjects = random.integers(0, shape.subjects, originals)
        self._tokens = random.integers(1, 5_000, originals)
        self._times_us = _times_us(shape, originals, until, random)
        homes = [home_partition(subject_name(number), partitions) for number in range(shape.subjects)]
        self._homes = np.array(homes, dtype=np.int32)
        self._record_homes = self._homes[self._subjects[self._originals]]

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of production."""
        for start in range(0, self.shape.events, _CHUNK):
            chunk = self._originals[start : start + _CHUNK]
            times = np.datetime_as_string(self._times_us[chunk].astype("datetime64[us]"), unit="ms").astype("S")
            columns = (chunk, self._subjects[chunk], self._tokens[chunk], self._record_homes[start : start + _CHUNK])
            rows = zip(*(column.tolist() for column in columns), times.tolist(), strict=True)
            for original, subject, tokens, home, time in rows:
                yield Record(home, b"customer-%06d" % subject, self._body(original, subject, tokens, time))

    @property
    def ids(self) -> int:
        """How many different events there are."""
        return len(self._subjects)

    def tokens_produced(self) -> int:
        """Return what all records add up to, repeats included."""
        return int(self._tokens[self._originals].sum())

    def bodies(self) -> Iterator[bytes]:
        """Yield the records' values."""
        return (record.body for record in self.records())

    def expected(self, positions: Mapping[int, int] | None = None) -> Expected:
        """Return what the records below `positions` add up to; of everything if None.

        A partition's offsets are its records' numbers: there is one producer, and no transaction.
        """
        read = np.ones(self.shape.events, dtype=np.bool_)
        if positions is not None:
            for partition in range(self.partitions):
                (places,) = np.nonzero(self._record_homes == partition)
                read[places[positions.get(partition, 0) :]] = False
        counted = np.unique(self._originals[read])
        subjects = self._subjects[counted]
        return Expected(
            records=int(read.sum()),
            duplicates=int(read.sum()) - len(counted),
            counts=np.bincount(subjects, minlength=self.shape.subjects),
            # Exact: floats hold whole numbers up to 2 ** 53.
            sums=np.bincount(subjects, self._tokens[counted], self.shape.subjects).astype(np.int64),
        )

    def _body(self, original: int, subject: int, tokens: int, time: bytes) -> bytes:
        fields = (self.shape.seed, original, subject, time, tokens, original % 4)
        body = _EVENT % (*fields, b"/v1/")
        return _EVENT % (*fields, b"/v1/".ljust(_EVENT_BYTES - len(body) + 4, b"x"))


def subject_name(number: int) -> str:
    """Return a subject's key."""
    return f"customer-{number:06d}"


def _times_us(shape: LoadShape, originals: int, until: datetime, random: np.random.Generator) -> NDArray[np.int64]:
    end_us = int(until.astimezone(UTC).timestamp() * 1_000_000)
    if shape.spread_s is not None:
        return end_us - random.integers(0, shape.spread_s * 1_000_000, originals)
    return end_us - (originals - 1 - np.arange(originals)) * 1_000_000 // _EVENTS_A_SECOND
