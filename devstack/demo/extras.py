"""What goes wrong in real life: events that are refused, dead letters, values of the wrong type, unknown types.

Every one is an event of its own, and none has tokens that a meter could add: the trace's sums stay what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from typing import Final

from devstack.demo.bodies import Attributes, write, write_time
from devstack.demo.sendings import Ending, Sending, Way
from metering.rejections import Code

_EACH: Final = 2
_KAFKA: Final = (Way.AIOKAFKA, Way.LIBRDKAFKA)
_INPUT_METERS: Final = ("input_tokens", "largest_prompt", "mean_prompt", "last_prompt")
_FORTY_DIGITS: Final = "1234567890" * 4

WRONG_VALUES: Final = ('"many"', "true", "[1, 2]", '{"count": 1}', '""', '"1,5"', '"0x10"', '"NaN"')
"""What some program wrote where a number belongs, as JSON."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request of the trace that an extra event is modelled on."""

    event: Attributes
    customer: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Broken:
    """A body that no one can use."""

    code: Code
    body: bytes | None
    ways: tuple[Way, ...] = tuple(Way)
    has_home: bool = False
    organization: str | None = None
    """In the header, if not the demo's own."""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Wrong:
    """Data that some meters cannot read. Over HTTP some of it would be refused."""

    texts: dict[str, str | None]
    """Members of data as JSON; None leaves one out."""
    skips: dict[str, Code]
    """The meters that cannot read it, and why."""
    ways: tuple[Way, ...] = tuple(Way)


def broken_events(event: Attributes, *, organization: str, now: datetime) -> list[Broken]:
    """Return an example of everything that an envelope can do wrong."""
    return [
        *_unreadable(event),
        *_badly_timed(event, now),
        # librdkafka would not send it.
        Broken(Code.TOO_LARGE, write(event.but_data(padding=f'"{"x" * 1_000_000}"')), ways=(Way.HTTP, Way.AIOKAFKA)),
        Broken(Code.INVALID_HEADER, write(event), ways=_KAFKA, organization="\x00"),
        Broken(Code.MISSING_FIELD, write(event.but(subject=None))),
        Broken(Code.MISSING_FIELD, write(event.but(id=None))),
        Broken(Code.INVALID_FIELD, write(event.but(id="x" * 257))),
        Broken(Code.INVALID_FIELD, write(event.but(subject="customer\x00"))),
        Broken(Code.INVALID_FIELD, write(event.but(source=7))),
        Broken(Code.RESERVED_TYPE, write(event.but(type="meterstream.internal"))),
        Broken(Code.DUPLICATE_NAME, write(event).replace(b'"subject":', b'"subject":"somebody","subject":')),
        Broken(Code.ORGANIZATION_MISMATCH, write(event.but(organization="somebody-else"))),
        Broken(Code.INVALID_NUMBER, write(event.but_data(input_tokens=_FORTY_DIGITS)), ways=(Way.HTTP,)),
        Broken(
            Code.UNKNOWN_ORGANIZATION,
            write(event),
            ways=_KAFKA,
            has_home=True,
            organization=f"no-{organization}"[:63],
        ),
    ]


def _unreadable(event: Attributes) -> list[Broken]:
    whole = write(event)
    return [
        Broken(Code.INVALID_JSON, b"\xff\xfe no text at all"),
        Broken(Code.INVALID_JSON, whole[: len(whole) // 2], ways=_KAFKA),
        Broken(Code.INVALID_JSON, whole[: len(whole) // 2], ways=(Way.HTTP,), alone=True),
        Broken(Code.INVALID_JSON, write(event.but_data(input_tokens="NaN"))),
        Broken(Code.NOT_AN_OBJECT, b"[1, 2, 3]"),
        Broken(Code.TOO_DEEP, write(event.but_data(nested="[" * 40 + "]" * 40))),
        Broken(Code.EMPTY_RECORD, None, ways=_KAFKA),
    ]


def _badly_timed(event: Attributes, now: datetime) -> list[Broken]:
    return [
        Broken(Code.INVALID_TIME, write(event.but(time="yesterday"))),
        Broken(Code.INVALID_TIME, write(event.but(time="2026-11-01T12:00:00"))),  # of no zone
        Broken(Code.TIME_TOO_OLD, write(event.but(time=write_time(now - timedelta(days=36))))),
        Broken(Code.TIME_TOO_NEW, write(event.but(time=write_time(now + timedelta(hours=2))))),
    ]


def spoiled_sendings(samples: Iterator[Sample], *, organization: str, now: datetime) -> Iterator[Sending]:
    """Yield refusals (HTTP) and dead letters (Kafka)."""
    for number in range(_EACH):
        sample = next(samples)
        event = sample.event.but(id=f"broken-{number}")
        for broken in broken_events(event, organization=organization, now=now):
            for way in broken.ways:
                yield Sending(
                    way=way,
                    key=sample.customer,
                    body=broken.body,
                    ending=Ending.REFUSED if way is Way.HTTP else Ending.DEAD_LETTER,
                    code=str(broken.code),
                    organization=None if way is Way.HTTP else broken.organization or organization,
                    has_home=broken.has_home,
                    alone=broken.alone,
                )


def wrong_values() -> list[Wrong]:
    """Return an example of everything that an event's data can do wrong to a meter."""
    invalid = [Wrong({"input_tokens": text}, _skips(Code.METER_VALUE_INVALID)) for text in WRONG_VALUES]
    missing = [Wrong({"input_tokens": text}, _skips(Code.METER_VALUE_MISSING)) for text in ("null", None)]
    too_long = Wrong({"input_tokens": _FORTY_DIGITS}, _skips(Code.METER_VALUE_INVALID), ways=_KAFKA)
    no_group = Wrong(
        {"input_tokens": "[]", "model": '{"name": "code"}'},
        {
            **_skips(Code.METER_VALUE_INVALID),
            "output_tokens": Code.METER_GROUP_INVALID,
            "models": Code.METER_VALUE_INVALID,
        },
    )
    said_twice = Wrong(
        {"input_tokens": "[]", "output_tokens": '0, "output_tokens": 0'},
        {
            **_skips(Code.METER_VALUE_INVALID),
            "output_tokens": Code.METER_VALUE_INVALID,
            "long_answers": Code.METER_FILTER_INVALID,
        },
        ways=_KAFKA,
    )
    return [*invalid, *missing, too_long, no_group, said_twice]


def _skips(code: Code) -> dict[str, Code]:
    return dict.fromkeys(_INPUT_METERS, code)


def wrong_typed_sendings(samples: Iterator[Sample], *, organization: str) -> Iterator[tuple[Sending, Sample]]:
    """Yield events that count, but whose tokens not every meter can read."""
    kinds = [(wrong, way) for wrong in wrong_values() for way in wrong.ways]
    for number, (wrong, way) in enumerate(kinds):
        sample = next(samples)
        event = sample.event.but(id=f"wrong-{number}").but_data(**{"output_tokens": "0"} | wrong.texts)
        skips = tuple((slug, str(code)) for slug, code in wrong.skips.items())
        yield _counted(way, sample, event, organization, skips), sample


def unmetered_sendings(samples: Iterator[Sample], *, organization: str) -> Iterator[Sending]:
    """Yield events of a type that no meter reads: stored, and counted by none."""
    for number, way in zip(range(12), cycle(Way), strict=False):
        sample = next(samples)
        event = sample.event.but(id=f"heartbeat-{number}", type="llm.heartbeat")
        yield _counted(way, sample, event, organization, ())


def _counted(
    way: Way, sample: Sample, event: Attributes, organization: str, skips: tuple[tuple[str, str], ...]
) -> Sending:
    header = None if way is Way.HTTP else organization
    return Sending(way, sample.customer, write(event), Ending.COUNTED, organization=header, skipped_by=skips)


def conflicting(event: Attributes) -> Attributes:
    """Return an event of the same id that says something else."""
    return event.but_data(input_tokens="999999", note=json.dumps("not what was said before"))
