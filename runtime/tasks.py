"""Ends tasks that run beside the requests or blocks of a process."""

from __future__ import annotations

import asyncio
from typing import Any


async def end_tasks(*tasks: asyncio.Future[Any], again_s: float = 3.0) -> None:
    """Cancel tasks until they have ended; what they raise is not looked at. `again_s`: how long one may clean up.

    Once is not enough: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes as its answer does, and
    drivers stand on it. A task that loops would then go on for ever, and whoever waits for it with it.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)
