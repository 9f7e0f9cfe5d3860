"""The words of the demo: one thing that is sent, the way it takes, and how it must end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from metering.partitions import home_partition

EVENT_TYPE: Final = "llm.request"
SOURCE: Final = "/demo/code-service"


class Way(StrEnum):
    """How a sending gets in."""

    HTTP = "http"
    AIOKAFKA = "aiokafka"
    """Straight to Kafka, by a client whose partitioner is murmur2: it hits the home partition."""
    LIBRDKAFKA = "librdkafka"
    """Straight to Kafka, by librdkafka's default partitioner: it mostly misses it."""


class Ending(StrEnum):
    """What must become of a sending."""

    COUNTED = "counted"
    """It counts, or the other one of its pair does: which one comes first is left to chance."""
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    """By HTTP, with a code; it never reaches the log."""
    DEAD_LETTER = "dead letter"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Sending:
    """One request element or Kafka record, and its fate."""

    way: Way
    key: str
    """The subject; of what has none that can be read, any text."""
    body: bytes | None
    ending: Ending
    code: str | None = None
    """Of a refusal or dead letter."""
    organization: str | None = None
    """What the record's header says; None: the body says it, or nothing does."""
    has_home: bool = True
    """False where the envelope cannot be read: such a record stays where it is."""
    alone: bool = False
    """HTTP: a request of its own, because it would break the array around it."""
    skipped_by: tuple[tuple[str, str], ...] = ()
    """Meters that cannot read a value from it, and their codes; it still counts elsewhere."""

    def is_forwarded(self, partition: int, partitions: int) -> bool:
        """Say whether the record, found in `partition`, has to be sent home first."""
        return self.has_home and home_partition(self.key, partitions) != partition


@dataclass(frozen=True, slots=True)
class Tally:
    """How many must end how. Everything sent is refused, or in the log; everything there has one of three fates."""

    sent: int
    refused: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By code; conflicts are among them."""
    duplicates: int = 0
    counted: int = 0
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (meter, code)."""

    @property
    def accepted(self) -> int:
        """Return how many must be in the log, copies that were forwarded aside."""
        return self.sent - self.refused.total()


def tally(sendings: Iterable[Sending]) -> Tally:
    """Count the endings."""
    everything = list(sendings)
    endings = Counter(sending.ending for sending in everything)
    return Tally(
        sent=len(everything),
        refused=Counter(s.code or "" for s in everything if s.ending is Ending.REFUSED),
        dead_letters=Counter(s.code or "" for s in everything if s.ending in (Ending.DEAD_LETTER, Ending.CONFLICT)),
        duplicates=endings[Ending.DUPLICATE],
        counted=endings[Ending.COUNTED],
        skipped=Counter(skip for sending in everything for skip in sending.skipped_by),
    )
