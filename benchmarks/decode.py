"""What a block costs before Postgres, in µs of processor time per event and stage: `python -m benchmarks.decode`.

The reference load: events of 319 bytes, 10,000 subjects, 5 % repeats, a few malformed, one SUM and one COUNT meter.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.catalogue import Catalogue, Organization
from metering.columns import ColumnReader
from metering.decode import BlockDecoder, DecodedBlock
from metering.meters import Meter, build_meter
from metering.read_plans import ReadPlanner
from metering.records import RecordBatch
from metering.screens import Lines, find_unsafe
from metering.settle import settle
from metering.warehouse_rows import events_table, meter_values_table

_ORGANIZATION = Organization("0a0a0a0a-0000-4000-8000-000000000001", "acme")
_ARRIVAL = datetime(2026, 11, 23, 10, tzinfo=UTC)
_EVENT_BYTES = 319

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _NothingSeen:
    found: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    arrivals_ms: NDArray[np.int64]
    body_hashes: NDArray[np.uint64]


def make_meters(count: int) -> tuple[Meter, ...]:
    """Return a SUM and a COUNT meter, or more of them by turns."""
    return tuple(
        build_meter(
            id=f"0b0b0b0b-0000-4000-8000-{number:012d}",
            organization_id=_ORGANIZATION.id,
            slug=f"meter-{number}",
            event_type="llm.request",
            aggregation="COUNT" if number % 2 else "SUM",
            value_property=None if number % 2 else "$.total_tokens",
        )
        for number in range(count)
    )


def make_batch(records: int, subjects: int, *, fraction: bool, malformed: float, seed: int = 1) -> RecordBatch:
    """Return a block of the reference load."""
    chance = random.Random(seed)
    values: list[bytes | None] = []
    for number in range(records):
        if values and chance.random() < 0.05:
            values.append(chance.choice(values[-2_000:]))
            continue
        values.append(_body(chance, number, subjects, fraction=fraction))
        if chance.random() < malformed:
            values[-1] = b'{"specversion": "1.0"'
    arrivals_ms = int(_ARRIVAL.timestamp() * 1000) + np.arange(records) // 200
    return RecordBatch(
        "usage.events.v1", 0, 0, records, np.arange(records), arrivals_ms,
        [None] * records, values, [None] * records, [None] * records,
    )  # fmt: skip


def _body(chance: random.Random, number: int, subjects: int, *, fraction: bool) -> bytes:
    tokens = chance.randrange(1, 5_000)
    event = {
        "specversion": "1.0",
        "id": f"{chance.getrandbits(128):032x}",
        "source": "app/gateway",
        "type": "llm.request",
        "subject": f"customer-{chance.randrange(subjects)}",
        "time": (_ARRIVAL + timedelta(microseconds=number * 5_000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "organization": _ORGANIZATION.slug,
        "data": {
            "model": chance.choice(["large", "medium", "small"]),
            "total_tokens": tokens / 4 if fraction else tokens,
            "region": "eu-1",
            "note": "",
        },
    }
    length = len(json.dumps(event))
    event["data"]["note"] = "x" * max(0, _EVENT_BYTES - length)  # type: ignore[index]
    return json.dumps(event).encode()


def measure(batch: RecordBatch, meters: tuple[Meter, ...], rounds: int) -> dict[str, float]:
    """Return the best of `rounds` for each stage, in µs an event."""
    catalogue = Catalogue(1, (_ORGANIZATION,), meters)
    decoder = BlockDecoder(catalogue, partitions=1)
    best: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        began = time.process_time()
        answer = work()
        cost = (time.process_time() - began) / len(batch) * 1e6
        best[stage] = min(cost, best.get(stage, cost))
        return answer

    plan = ReadPlanner(meters).plan_for(0, 0, batch.values)
    values = [value for value in batch.values if value]
    rows = np.arange(len(values))
    for _ in range(rounds):
        timed("screen (part of parse)", lambda: _screen(values, decimals=plan.holds_decimals))
        timed("parse (part of decode)", lambda: ColumnReader(plan).read(values, rows))
        decoded = timed("decode", lambda: decoder.decode(batch))
        seen = _nothing_seen(decoded)
        settled = timed("settle, meters, totals", partial(settle, decoded, seen, {}))
        counted = settled.result.outcomes == 0
        timed("warehouse: events", partial(events_table, decoded, counted))
        timed("warehouse: values", partial(meter_values_table, decoded, counted))
    best["decode + settle"] = best["decode"] + best["settle, meters, totals"]
    return best


def _screen(values: list[bytes], *, decimals: bool) -> None:
    for start in range(0, len(values), 4_000):
        part = values[start : start + 4_000]
        find_unsafe(part, Lines(part), decimals=decimals)


def _nothing_seen(decoded: DecodedBlock) -> _NothingSeen:
    count = len(decoded.keys)
    zeros = np.zeros(count, np.int64)
    return _NothingSeen(np.zeros(count, np.bool_), zeros, zeros, np.zeros(count, np.uint64))


def main() -> None:
    """Print a JSON line a stage."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=50_000)
    arguments.add_argument("--subjects", type=int, default=10_000)
    arguments.add_argument("--meters", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--malformed", type=float, default=0.0001)
    arguments.add_argument("--fraction", action="store_true", help="token counts with fractions: read as decimals")
    chosen = arguments.parse_args()
    pa.set_cpu_count(1)
    batch = make_batch(chosen.records, chosen.subjects, fraction=chosen.fraction, malformed=chosen.malformed)
    for stage, cost in measure(batch, make_meters(chosen.meters), chosen.rounds).items():
        print(json.dumps({"name": stage, "value": round(cost, 3), "unit": "µs/event"}))


if __name__ == "__main__":
    main()
