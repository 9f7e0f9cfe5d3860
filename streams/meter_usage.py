"""The agent that counts usage, and the partitions that a rebalance gives it and takes away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
from faust.types import TP

from metering.records import RecordBatch
from runtime.errors import MeterstreamError
from runtime.logging import get_logger
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.pool import connect
from sinks.postgres.positions import read_positions
from streams.delivery import Lanes, Work, repeat_transient
from streams.partition_meter import MeteringTools, PartitionMeter
from streams.transport import BatchSchema

log = get_logger(__name__)
# A block takes tens of milliseconds; what takes longer is fenced by its position, so a rebalance need not wait.
_PAUSE_S = 2.0


class UsageMetering:
    """Every fetched batch goes to its partition's lane, which makes blocks of what waits and counts them."""

    def __init__(self, tools: MeteringTools, *, max_records: int, give_up_s: float) -> None:
        self._tools = tools
        self._give_up_s = give_up_s
        self._meters: dict[int, PartitionMeter] = {}
        self._ours: set[int] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes = Lanes(self._work_of, max_records=max_records, on_failure=self._fail)

    def add_to(self, app: faust.App) -> None:
        """Add the agent, and follow the app's rebalances."""

        @app.agent(app.topic(self._tools.topic.topic, schema=BatchSchema()), name="meter_usage")
        async def meter_usage(batches: Any) -> None:
            # Without Faust's own acks: a batch is done when its block is in Postgres, not when the next is asked for.
            async for delivery in batches.noack().events():
                await self._lanes.put(delivery)

        # Faust restarts an agent that failed, without a word: ours stops the worker instead.
        meter_usage._on_error = self._on_agent_error  # type: ignore[attr-defined]

        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)

    async def starts(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Return where Postgres stands for each assigned partition."""

        def read() -> dict[int, int]:
            with connect(self._tools.postgres, service="metering", role=WORKER_ROLE) as connection:
                return read_positions(connection, self._tools.topic.topic)

        positions = await repeat_transient(
            lambda: asyncio.to_thread(read), give_up_s=self._give_up_s, telemetry=self._tools.telemetry
        )
        return {tp: positions.get(tp.partition, 0) for tp in assigned}

    def positions(self) -> dict[int, int]:
        """Return our partitions, and where each stands as far as we know."""
        return {p: self._meters[p].position if p in self._meters else 0 for p in self._ours}

    @property
    def rebuilding(self) -> bool:
        """Say whether an index is catching up."""
        return any(meter.catching_up for meter in self._meters.values())

    async def close(self) -> None:
        """Finish the blocks in hand and give everything up."""
        await self._give_up_all_but(set())

    def _work_of(self, partition: int) -> Work:
        meter = self._meters.setdefault(partition, PartitionMeter(self._tools, partition))

        async def work(batch: RecordBatch) -> None:
            await repeat_transient(
                lambda: meter.meter(batch), give_up_s=self._give_up_s, telemetry=self._tools.telemetry
            )

        return work

    def _fail(self, failure: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(failure)
        if not isinstance(failure, MeterstreamError):
            log.error("metering met a bug", exc_info=failure)

    async def _on_agent_error(self, _: Any, failure: BaseException) -> None:
        self._fail(failure)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        await self._lanes.pause(timeout_s=_PAUSE_S)

    async def _on_assigned(self, _: Any, /, *args: Any, **__: Any) -> None:
        assigned: set[TP] = args[0]
        self._ours = {tp.partition for tp in assigned}
        await self._give_up_all_but(self._ours)
        log.info("partitions assigned", partitions=sorted(self._ours))

    async def _give_up_all_but(self, partitions: set[int]) -> None:
        for partition in await self._lanes.keep_only(partitions):
            await asyncio.to_thread(self._meters.pop(partition).close)
