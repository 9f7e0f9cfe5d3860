"""Decides a block with what was seen before: the metering agent and the rebuild do it in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from metering.decode import BlockDecoder, DecodedBlock
from metering.records import RecordBatch
from metering.settle import Settled, settle, suspects
from sinks.first_seen.entries import Seen
from sinks.first_seen.index import FirstSeenIndex
from sinks.kafka.log_reader import LogReader


async def decide_block(
    batch: RecordBatch,
    *,
    decoder: BlockDecoder,
    index: FirstSeenIndex,
    reader: LogReader,
    threads: Executor,
    forward: Callable[[DecodedBlock], Awaitable[None]] | None = None,
) -> Settled:
    """Decode, look up, read doubtful bodies back, settle; CPU-bound work runs in `threads`.

    `forward` gets the block before it is settled; a replay passes none, and nothing is produced.
    """
    run = asyncio.get_running_loop().run_in_executor
    decoded, seen, doubtful = await run(threads, _look_up, decoder, index, batch)
    if forward is not None:
        await forward(decoded)
    bodies = await reader.bodies(batch.partition, doubtful) if doubtful else {}
    return await run(threads, settle, decoded, seen, bodies)


def remember_block(index: FirstSeenIndex, batch: RecordBatch, settled: Settled) -> None:
    """Add a committed block's ids to the index."""
    index.add(settled.keys, settled.offsets, settled.arrivals_ms, settled.body_hashes, position=batch.to_position)


def _look_up(decoder: BlockDecoder, index: FirstSeenIndex, batch: RecordBatch) -> tuple[DecodedBlock, Seen, list[int]]:
    decoded = decoder.decode(batch)
    seen = index.lookup(decoded.keys)
    return decoded, seen, suspects(decoded, seen).tolist()
