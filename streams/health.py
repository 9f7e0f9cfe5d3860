"""What a worker says of itself, on a port of its own: /healthz (alive), /readyz (does its work), /metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from runtime.telemetry import Telemetry


@dataclass(slots=True)
class WorkerHealth:
    """Progress of a worker. `state` tells working, idle, rebuilding and stalled apart."""

    app: str
    telemetry: Telemetry
    stalled_after_s: float
    lags: Callable[[], Mapping[int, int]]
    """Records between our position and the end of the log, by partition that is ours."""
    rebuilding: Callable[[], bool] = lambda: False
    has_partitions: bool = True
    """Whether it works on a share of a log, and is of no use before it has one."""
    _last_progress: float = field(default_factory=time.monotonic)

    def progressed(self) -> None:
        """Note that something was committed."""
        self._last_progress = time.monotonic()

    def state(self) -> str:
        """Return idle (nothing to do), working, rebuilding (an index or store catches up) or stalled."""
        lag = sum(self.lags().values())
        if lag == 0:
            self.progressed()
            return "idle"
        if self.rebuilding():
            return "rebuilding"
        return "stalled" if time.monotonic() - self._last_progress > self.stalled_after_s else "working"

    def report(self) -> dict[str, object]:
        """Return what /readyz answers, and bring the gauges up to date."""
        lags, state = self.lags(), self.state()
        for partition, lag in lags.items():
            self.telemetry.lag_records.labels(app=self.app, partition=str(partition)).set(lag)
        age_s = time.monotonic() - self._last_progress
        self.telemetry.last_commit_age_s.labels(app=self.app).set(age_s)
        self.telemetry.stalled.labels(app=self.app).set(state == "stalled")
        self.telemetry.rebuilding.labels(app=self.app).set(state == "rebuilding")
        report: dict[str, object] = {
            "app": self.app,
            "state": state,
            "lag_records": sum(lags.values()),
            "last_progress_s": round(age_s, 1),
        }
        return {**report, "partitions": sorted(lags)} if self.has_partitions else report


async def serve_health(health: WorkerHealth, *, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve until the returned runner is cleaned up; returns the port taken."""

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive", "app": health.app})

    async def ready(_: web.Request) -> web.Response:
        report = health.report()
        return web.Response(
            status=503 if report["state"] == "stalled" else 200,
            text=json.dumps(report),
            content_type="application/json",
        )

    async def metrics(_: web.Request) -> web.Response:
        health.report()
        return web.Response(
            body=generate_latest(health.telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    server = web.Application()
    server.add_routes([web.get("/healthz", alive), web.get("/readyz", ready), web.get("/metrics", metrics)])
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    taken: int = runner.addresses[0][1]
    return runner, taken
