"""The agent that stores counted usage in ClickHouse, and the partitions that a rebalance gives it and takes away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
from faust.types import TP

from runtime.errors import MeterstreamError
from runtime.logging import get_logger
from runtime.tasks import end_tasks
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.loads import warehouse_positions
from sinks.postgres.news import follow_blocks
from sinks.postgres.pool import connect
from streams.delivery import repeat_transient
from streams.partition_loader import PartitionLoader, WarehouseTools
from streams.transport import BatchSchema

log = get_logger(__name__)
# What all partitions of a worker hold at once, in loads: with events of 300 bytes, 200,000 records are ~100 MB.
_LOADS_HELD = 3


class UsageWarehouse:
    """Every fetched batch goes to its partition's loader, which stores it once the journal says what counted."""

    def __init__(self, tools: WarehouseTools) -> None:
        self._tools = tools
        self._loaders: dict[int, tuple[PartitionLoader, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news = asyncio.create_task(
            follow_blocks(tools.postgres, self._wake, service="warehouse"), name="block-news"
        )
        self._news.add_done_callback(self._ended)

    def add_to(self, app: faust.App) -> None:
        """Add the agent, and follow the app's rebalances."""

        @app.agent(app.topic(self._tools.topic.topic, schema=BatchSchema()), name="store_usage")
        async def store_usage(batches: Any) -> None:
            # Without Faust's own acks: a batch is done when its rows are in ClickHouse, not when the next is asked for.
            async for delivery in batches.noack().events():
                if (entry := self._loaders.get(delivery.value.partition)) is not None:
                    await entry[0].put(delivery)

        # Faust restarts an agent that failed, without a word: ours stops the worker instead.
        store_usage._on_error = self._on_agent_error  # type: ignore[attr-defined]

        app.on_partitions_assigned.connect(self._on_assigned, weak=False)

    async def starts(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Return where the warehouse stands for each assigned partition."""

        def read() -> dict[int, int]:
            with connect(self._tools.postgres, service="warehouse", role=WORKER_ROLE) as connection:
                return warehouse_positions(connection, self._tools.topic.topic)

        positions = await repeat_transient(
            lambda: asyncio.to_thread(read), give_up_s=self._tools.give_up_s, telemetry=self._tools.telemetry
        )
        return {tp: positions.get(tp.partition, 0) for tp in assigned}

    def positions(self) -> dict[int, int]:
        """Return our partitions, and where each stands as far as we know."""
        return {partition: loader.position for partition, (loader, _) in self._loaders.items()}

    async def close(self) -> None:
        """Finish the loads in hand and give everything up."""
        self._give_up_all_but(set())
        await end_tasks(self._news)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _wake(self, partition: int) -> None:
        if (entry := self._loaders.get(partition)) is not None:
            entry[0].wake()

    async def _on_assigned(self, _: Any, /, *args: Any, **__: Any) -> None:
        ours = {tp.partition for tp in args[0]}
        self._give_up_all_but(ours)
        held = _LOADS_HELD * self._tools.max_records // max(1, len(ours))
        for partition in ours - self._loaders.keys():
            loader = PartitionLoader(self._tools, partition, held_records=min(held, self._tools.max_records))
            task = asyncio.create_task(loader.run(), name=f"loader-{partition}")
            task.add_done_callback(self._ended)
            self._loaders[partition] = (loader, task)
        log.info("partitions assigned", partitions=sorted(ours))

    def _give_up_all_but(self, partitions: set[int]) -> None:
        """Stop other partitions' loaders. Their loads in hand go on meanwhile; the next owner waits for their claim."""
        for partition in self._loaders.keys() - partitions:
            loader, task = self._loaders.pop(partition)
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            loader.stop()

    async def _on_agent_error(self, _: Any, exc: BaseException) -> None:
        self._fail(exc)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(failure)
        if not isinstance(failure, MeterstreamError):
            log.error("the warehouse met a bug", exc_info=failure)
