from __future__ import annotations

import asyncio

from runtime.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def loop_for_ever() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    task = asyncio.create_task(loop_for_ever())
    await asyncio.sleep(0)
    await end_tasks(task, again_s=0.01)
    assert (swallowed, task.cancelled()) == (2, True)


async def test_a_task_may_clean_up() -> None:
    cleaned = False

    async def clean_up() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            cleaned = True

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert (cleaned, task.cancelled()) == (True, True)


async def test_what_failed_or_was_done_before_is_left_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("bug")

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0.01)
    await end_tasks(failed, done)
    assert (type(failed.exception()), done.cancelled()) == (KeyError, False)
    await end_tasks()
