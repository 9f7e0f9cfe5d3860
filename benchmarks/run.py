"""Which figures there are, and the run that measures them one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from benchmarks.engines import running_engines
from benchmarks.figures import Figure, WrongNumbers
from benchmarks.http_ingest import http_ingest
from benchmarks.many_ids import metering_ids
from benchmarks.metering import metering, metering_loads, stock_faust
from benchmarks.plan_list import plan_list
from benchmarks.session import Options, Say, Session
from benchmarks.soak import soak
from benchmarks.stages import stages
from benchmarks.startup import startup
from benchmarks.stripe_webhooks import stripe_webhooks
from benchmarks.subscription_read import subscription_read
from benchmarks.usage_query import usage_query
from benchmarks.visibility import visibility
from benchmarks.warehouse import warehouse
from runtime.errors import MeterstreamError

Measure = Callable[[Session], Iterator[Figure]]

SOAK: Final = "soak"
FIGURES: Final[dict[str, Measure]] = {
    "stock_faust": stock_faust,
    "metering": metering,
    "stages": stages,
    "metering_loads": metering_loads,
    "metering_ids": metering_ids,
    "warehouse": warehouse,
    "http_ingest": http_ingest,
    "visibility": visibility,
    "usage_query": usage_query,
    "plan_list": plan_list,
    "stripe_webhooks": stripe_webhooks,
    "subscription_read": subscription_read,
    "startup": startup,
    SOAK: soak,
}
"""By the name that `--only` takes, in the order of measuring."""


def usual_names(*, quick: bool) -> list[str]:
    """Return what is measured unless figures are named."""
    left_out = {SOAK, "startup"} if quick else {SOAK}
    return [name for name in FIGURES if name not in left_out]


def run(names: Sequence[str], options: Options, *, say: Say, emit: Callable[[Figure], None]) -> list[str]:
    """Measure on engines of its own and hand over each figure; return what went wrong, figure by figure."""
    failures: list[str] = []
    with running_engines() as engines:
        session = Session(engines, options, say)
        for name in names:
            began = time.monotonic()
            say(f"{name} …")
            try:
                for figure in FIGURES[name](session):
                    # A small load's figure must not be taken for a real one.
                    emit(replace(figure, on={**figure.on, "quick": True}) if options.quick else figure)
            except (WrongNumbers, MeterstreamError, TimeoutError) as exc:
                # One figure that fails must not cost the others; the run as a whole has failed.
                failures.append(f"{name}: {exc}")
                say(f"{name} failed: {exc}")
            say(f"{name} took {time.monotonic() - began:.0f} s")
    return failures
