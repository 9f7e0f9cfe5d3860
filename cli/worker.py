"""`meterstream worker …`: a background worker in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import platform
import signal
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from importlib.abc import MetaPathFinder
from typing import Annotated

import typer

from cli.settings import command_settings
from runtime.errors import MeterstreamError, RefusedToStart
from runtime.logging import configure_logging, get_logger
from runtime.settings import Settings

log = get_logger(__name__)
_FAILED, _REFUSED = 1, 3
_M_ARENA_MAX = -8  # of glibc's malloc.h


class WorkerName(StrEnum):
    """The Faust apps, and the jobs' queue."""

    METERING = "metering"
    WAREHOUSE = "warehouse"
    BILLING = "billing"
    JOBS = "jobs"


_COLUMNAR = (WorkerName.METERING, WorkerName.WAREHOUSE)


class _WithoutPandas(MetaPathFinder):
    """Arrow imports pandas wherever it is installed (chdb brings it along): 1.4 s and 60 MB for nothing that we use."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Say that there is no pandas, and leave the rest to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out of workers", name=fullname)


def worker(
    name: Annotated[WorkerName, typer.Argument(help="Which work to do; start as many of each as you like.")],
) -> None:
    """Run a background worker: `metering` counts usage, `warehouse` feeds ClickHouse, `billing` follows Stripe, and
    `jobs` does what is due by the clock.

    Workers of one kind share Kafka's partitions. Exit code 3: a precondition of exact counting does not hold; the last
    log line says which, and the way out. Exit code 1: a store did not answer for too long, or a bug.
    """

    sys.meta_path.insert(0, _WithoutPandas())
    settings = command_settings()
    configure_logging(f"worker-{name}", level=settings.log_level, style=settings.log_format)
    try:
        asyncio.run(_run(name, settings))
    except RefusedToStart as exc:
        log.error("refused to start", reason=exc.message)  # noqa: TRY400  # the message is the reason, not the trace
        raise typer.Exit(_REFUSED) from exc
    except MeterstreamError as exc:
        log.error("worker stops", reason=exc.message, code=exc.code)  # noqa: TRY400
        raise typer.Exit(_FAILED) from exc


def _give_memory_back() -> None:
    """Keep freed memory with nobody: Arrow's own allocator and an arena a thread held on to 110 of 560 MB."""
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


async def _run(name: WorkerName, settings: Settings) -> None:
    run = _find(name)
    if name in _COLUMNAR:
        _give_memory_back()
    # A batch is tens of thousands of objects that are no garbage: collecting as often as Python does by itself costs
    # 2.5 of a worker's 8.5 µs an event.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def _find(name: WorkerName) -> Callable[[Settings, asyncio.Event], Awaitable[None]]:
    """Return a worker's work; each loads only what it stands on, which for two of them is not Arrow."""
    if name is WorkerName.BILLING:
        from streams.billing_worker import run_billing

        return run_billing
    if name is WorkerName.JOBS:
        from streams.jobs import run_jobs

        return run_jobs
    from streams import worker as workers

    return workers.run_metering if name is WorkerName.METERING else workers.run_warehouse
