"""Metering's events per second: on the reference load, beside stock Faust, and on other loads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.engines import wait_until
from benchmarks.figures import Figure, WrongNumbers
from benchmarks.load import LoadShape
from benchmarks.metering_run import MeteringRun, run_metering
from benchmarks.session import FilledLog, Session
from benchmarks.workers import running
from metering.topics import USAGE_EVENTS
from sinks.kafka.topics import topic_name

_UNIT = "events/s"


def stock_faust(session: Session) -> Iterator[Figure]:
    """The baseline: stock Faust on the same kind of log, with as many events as it needs for 10 s."""
    shape = LoadShape(session.options.scaled(40_000, 6_000), seed=2)
    log = session.filled_log(shape)
    skipped = shape.events // 10
    with session.engines.fresh(log.kafka) as settings:
        answer = settings.state_dir / "answer.json"
        topic = topic_name(log.kafka, USAGE_EVENTS)
        places = (log.kafka.bootstrap_servers, topic, log.kafka.partitions, shape.events, skipped, answer)
        with running(settings, "stock-faust", ["benchmarks.stock_faust", *map(str, places)]) as child:
            wait_until("stock Faust counts its events", lambda: child.pid and answer.exists(), timeout_s=180)
        found = json.loads(answer.read_text())
    tokens = log.load.tokens_produced()
    if (found["count"], found["sum"]) != (shape.events, tokens):
        raise WrongNumbers(f"stock Faust counted {found}, not {shape.events} events and {tokens} tokens")
    measured = shape.events - skipped
    session.stock_events_a_second = measured / found["seconds"]
    yield Figure(
        "stock_faust",
        session.stock_events_a_second,
        _UNIT,
        on={**log.named(), "tables": 1},
        details={"measured_events": measured, "cpu_us_per_event": {"worker": round(found["cpu"] / measured * 1e6, 1)}},
    )


def metering(session: Session) -> Iterator[Figure]:
    """The reference load; and what the worker held in memory when it was through."""
    yield from _baseline(session)
    log = session.filled_log(session.main_shape())
    run = run_metering(session.engines, log)
    yield _figure(session, "metering", log, run, target=150_000)
    on = {**log.named(), "ids_indexed": log.load.ids}
    yield Figure("metering_memory", run.rss_mb, "MB", target=500, on=on)


def metering_loads(session: Session) -> Iterator[Figure]:
    """Fewer and more subjects, one and many meters, and a replay."""
    yield from _baseline(session)
    main = session.main_shape()
    half = replace(main, events=main.events // 2)
    limit_s = session.options.scaled(15, 10)
    quick = session.options.quick
    for subjects in (1_000,) if quick else (1_000, 100_000):
        log = session.filled_log(replace(half, subjects=subjects))
        run = run_metering(session.engines, log, limit_s=limit_s)
        yield _figure(session, f"metering_{subjects}_subjects", log, run)
    log = session.filled_log(main)
    for meters in (5,) if quick else (1, 5, 20):
        run = run_metering(session.engines, log, meters=meters, limit_s=limit_s)
        yield _figure(session, f"metering_{meters}_meters", log, run, meters=meters)
    log = session.filled_log(replace(half, spread_s=3_600))
    run = run_metering(session.engines, log, limit_s=limit_s)
    yield _figure(session, "metering_replay", log, run, target=60_000)


def _baseline(session: Session) -> Iterator[Figure]:
    if session.stock_events_a_second is None:
        yield from stock_faust(session)


def _figure(
    session: Session, name: str, log: FilledLog, run: MeteringRun, *, meters: int = 2, target: float | None = None
) -> Figure:
    return Figure(
        name,
        run.pace.a_second,
        _UNIT,
        baseline=session.stock_events_a_second,
        target=target,
        on={**log.named(), "meters": meters, "ids_indexed_before": 0},
        details=run.details(),
    )
