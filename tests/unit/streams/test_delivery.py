"""Delivery: in order, acked when done, joined while waiting, repeated while a store is away, stopped by a bug."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from metering.records import RecordBatch
from runtime.errors import Transient, Unavailable
from runtime.settings import WorkerSettings
from runtime.telemetry import Telemetry
from streams.delivery import Lane, Lanes, begin_work, repeat_transient
from tests.factories import HOUR_MS, NOON_MS, make_batch


@dataclass
class MemoryDelivery:
    value: RecordBatch
    acked: list[int] = field(default_factory=list)

    def ack(self) -> None:
        self.acked.append(self.value.to_position)


def _deliveries(
    spans: list[tuple[int, int]], acked: list[int], *, arrivals_ms: list[int] | None = None
) -> list[MemoryDelivery]:
    hours = arrivals_ms or [NOON_MS] * len(spans)
    return [
        MemoryDelivery(make_batch([b"x"] * (high - low), from_position=low, arrivals_ms=at), acked)
        for (low, high), at in zip(spans, hours, strict=True)
    ]


async def _run(deliveries: list[MemoryDelivery], *, max_records: int = 100) -> list[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    gate = asyncio.Event()

    async def work(batch: RecordBatch) -> None:
        await gate.wait()
        blocks.append((batch.from_position, batch.to_position))

    lane = Lane(work, max_records=max_records)
    task = asyncio.create_task(lane.run())
    await lane.put(deliveries[0])
    await asyncio.sleep(0.01)  # the first is in hand now
    putting = asyncio.create_task(_put_all(lane, deliveries[1:]))
    await asyncio.sleep(0.01)
    gate.set()
    await putting
    await asyncio.sleep(0.02)
    await lane.wait_idle()
    task.cancel()
    return blocks


async def _put_all(lane: Lane, deliveries: list[MemoryDelivery]) -> None:
    for delivery in deliveries:
        await lane.put(delivery)


async def test_batches_that_wait_become_one_block() -> None:
    acked: list[int] = []
    blocks = await _run(_deliveries([(0, 5), (5, 10), (10, 20)], acked))
    assert blocks == [(0, 5), (5, 20)]
    assert acked == [5, 10, 20]


async def test_a_block_stays_within_its_size() -> None:
    blocks = await _run(_deliveries([(0, 5), (5, 10), (10, 20)], []), max_records=12)
    assert blocks == [(0, 5), (5, 10), (10, 20)]


async def test_a_gap_is_never_joined_over() -> None:
    blocks = await _run(_deliveries([(0, 5), (7, 10), (10, 12)], []))
    assert blocks == [(0, 5), (7, 12)]


async def test_a_block_never_spans_two_arrival_hours() -> None:
    late = NOON_MS + HOUR_MS
    blocks = await _run(_deliveries([(0, 5), (5, 10), (10, 12)], [], arrivals_ms=[NOON_MS, NOON_MS, late]))
    assert blocks == [(0, 5), (5, 10), (10, 12)]


async def test_an_empty_batch_between_two_hours_does_not_join_them() -> None:
    acked: list[int] = []
    first, hole, last = _deliveries([(0, 5), (5, 6), (9, 12)], acked, arrivals_ms=[NOON_MS, NOON_MS, NOON_MS + HOUR_MS])
    hole.value = make_batch([], from_position=5, to_position=9)
    busy = MemoryDelivery(make_batch([b"x"], from_position=100), acked)
    blocks = await _run([busy, first, hole, last])
    assert (0, 12) not in blocks
    assert blocks[-1] == (9, 12)


async def test_a_failure_acks_nothing_and_is_told() -> None:
    acked: list[int] = []
    failures: list[BaseException] = []

    async def fail(_: RecordBatch) -> None:
        raise ValueError("a bug")

    lanes = Lanes(lambda _: fail, max_records=10, on_failure=failures.append)
    await lanes.put(_deliveries([(0, 5)], acked)[0])
    await asyncio.sleep(0.01)
    assert [str(failure) for failure in failures] == ["a bug"]
    assert acked == []


async def test_pause_forgets_what_waits_and_waits_for_what_is_in_hand() -> None:
    acked: list[int] = []
    done: list[int] = []

    async def slow(batch: RecordBatch) -> None:
        await asyncio.sleep(0.05)
        done.append(batch.to_position)

    lanes = Lanes(lambda _: slow, max_records=5, on_failure=lambda _: None)
    for delivery in _deliveries([(0, 5), (5, 10), (10, 15)], acked):
        await lanes.put(delivery)
        await asyncio.sleep(0.005)
    await lanes.pause(timeout_s=5)
    await asyncio.sleep(0.1)
    assert done == acked == [5]
    assert await lanes.keep_only(set()) == {0}


async def test_pause_forgets_the_batch_that_found_no_place_yet() -> None:
    acked: list[int] = []
    done: list[int] = []

    go_on = asyncio.Event()

    async def slow(batch: RecordBatch) -> None:
        await go_on.wait()
        done.append(batch.to_position)

    lanes = Lanes(lambda _: slow, max_records=5, on_failure=lambda _: None)
    deliveries = _deliveries([(0, 5), (5, 10), (10, 15), (15, 20)], acked)
    for delivery in deliveries[:3]:
        await lanes.put(delivery)
        await asyncio.sleep(0.005)
    late = asyncio.create_task(lanes.put(deliveries[3]))
    await asyncio.sleep(0.005)
    assert not late.done()
    pausing = asyncio.create_task(lanes.pause(timeout_s=5))
    await asyncio.sleep(0.005)
    go_on.set()
    await pausing
    async with asyncio.timeout(5):
        await late
    await asyncio.sleep(0.1)
    assert done == acked == [5]
    await lanes.keep_only(set())


async def test_a_transient_error_is_repeated_until_the_store_is_back() -> None:
    tries = []

    async def work() -> str:
        tries.append(1)
        if len(tries) < 4:
            raise Transient("deadlock")
        return "done"

    assert await repeat_transient(work, give_up_s=30, telemetry=Telemetry()) == "done"
    assert len(tries) == 4


async def test_a_store_that_stays_away_stops_the_worker_with_its_reason() -> None:
    async def work() -> None:
        raise Unavailable("Postgres does not answer")

    with pytest.raises(Unavailable, match=r"Gave up after .* Postgres does not answer"):
        await repeat_transient(work, give_up_s=0.1, telemetry=Telemetry())


async def test_a_bug_is_not_repeated() -> None:
    tries = []

    async def work() -> None:
        tries.append(1)
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await repeat_transient(work, give_up_s=30, telemetry=Telemetry())
    assert len(tries) == 1


async def test_a_worker_stops_in_the_middle_of_its_beginning_though_a_client_swallows_it() -> None:
    stop, cancelled = asyncio.Event(), 0

    async def connect_for_ever() -> None:
        nonlocal cancelled
        while cancelled < 2:
            stop.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    assert await begin_work(connect_for_ever, WorkerSettings(), Telemetry(), stop) is None
    assert cancelled == 2
