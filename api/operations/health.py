"""`/healthz` (alive), `/readyz` (every part, and why not), `/metrics` (Prometheus). No key needed, no tenant's data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.access.authentication import OpenStores
from api.http.responses import json_answer
from api.operations.monitor import Findings, Monitor
from api.stores import Stores
from runtime.errors import MeterstreamError, Unavailable
from runtime.logging import get_logger
from runtime.telemetry import Telemetry

log = get_logger(__name__)
router = APIRouter(tags=["operations"])

_PROBE_TIMEOUT_S: Final = 3.0
_PROBE_AGE_S: Final = 1.0
_NO_ANSWER: Final = "does not answer; the log of the API says why"
# The monitor looks every 5 s; older findings say nothing.
_LOOK_AGE_S: Final = 30.0
_NOT_KNOWN: Final = "its lag is not known now"
_WAITS: Final = {"inbox": "Stripe's events", "outbox": "changes of ours"}


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"])


class Part(BaseModel):
    """One thing that must work."""

    ok: bool
    reason: str | None = Field(description="Why not.")


class Readiness(BaseModel):
    """Whether requests can be served and usage is being counted."""

    ready: bool
    parts: dict[str, Part] = Field(
        description="postgres, clickhouse, kafka, metering, warehouse, ledger; billing, where Stripe has a key"
    )


class StoreProbes:
    """Asks the stores whether they answer, once for all who want to know within a second.

    Anybody may: so it costs the stores nothing to be asked often, and where they are and what their drivers say is for
    our log alone.
    """

    def __init__(
        self, questions: Mapping[str, Callable[[], Awaitable[object]]], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._questions = questions
        self._now = now
        self._lock = asyncio.Lock()
        self._known_until_s = 0.0
        self._reasons: dict[str, str | None] = {}

    async def look(self) -> dict[str, str | None]:
        """Return of each store why it does not answer, or None."""
        async with self._lock:
            if self._now() >= self._known_until_s:
                found = await self._ask()
                for store, reason in found.items():
                    if reason is not None and reason != self._reasons.get(store):
                        log.warning("a store does not answer", store=store, reason=reason)
                self._reasons = found
                self._known_until_s = self._now() + _PROBE_AGE_S
        return {store: reason and _NO_ANSWER for store, reason in self._reasons.items()}

    async def _ask(self) -> dict[str, str | None]:
        reasons = await asyncio.gather(*(_probe(question()) for question in self._questions.values()))
        return dict(zip(self._questions, reasons, strict=True))


def probes_of(stores: Stores) -> StoreProbes:
    """Return what readiness asks of the stores."""

    async def kafka() -> None:
        await stores.log_ends.read()
        if stores.producer.problem is not None:
            raise Unavailable(f"Nothing can be produced: {stores.producer.problem}.")

    return StoreProbes({"postgres": stores.postgres.ping, "clickhouse": stores.clickhouse.ping, "kafka": kafka})


@router.get("/healthz", summary="Alive", response_model=Alive)
async def healthz() -> Response:
    """Say that the process answers; nothing else is asked."""
    return json_answer({"status": "ok"})


@router.get(
    "/readyz",
    summary="Ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A store is down, a consumer stalls, or the books disagree."}},
)
async def readyz(request: Request, stores: OpenStores) -> Response:
    """Say of each part whether it works: stores, consumers (lag grows and nothing commits), ledger."""
    monitor: Monitor = request.app.state.monitor
    probes: StoreProbes = request.app.state.probes
    parts = {
        **await probes.look(),
        **_consumers(monitor.findings, sells=stores.stripe is not None),
    }
    ready = not any(parts.values())
    shown = {name: {"ok": reason is None, "reason": reason} for name, reason in parts.items()}
    return json_answer({"ready": ready, "parts": shown}, status=200 if ready else 503)


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' format."}},
)
async def metrics(request: Request) -> Response:
    """Show this process's metrics."""
    telemetry: Telemetry = request.app.state.telemetry
    return Response(generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _consumers(findings: Findings, *, sells: bool) -> dict[str, str | None]:
    if findings.looked_at_s is None or time.monotonic() - findings.looked_at_s > _LOOK_AGE_S:
        consumers: dict[str, str | None] = dict.fromkeys(("metering", "warehouse", "billing"), _NOT_KNOWN)
    else:
        consumers = {
            "metering": _stalled("metering", findings.metering_stalled, findings.metering_lag),
            "warehouse": _stalled("warehouse", findings.warehouse_stalled, findings.warehouse_lag),
            "billing": _waiting(findings.billing_stalled),
        }
    if not sells:
        del consumers["billing"]
    return {**consumers, "ledger": _differences(findings)}


def _differences(findings: Findings) -> str | None:
    return "; ".join(findings.differences[:3]) if findings.differences else None


def _stalled(name: str, partitions: list[int], lag: dict[int, int] | None) -> str | None:
    if not partitions or lag is None:
        return None
    records = sum(lag.get(partition, 0) for partition in partitions)
    where = ", ".join(map(str, partitions))
    return f"{records} records wait and nothing commits in partitions {where}: is a {name} worker running?"


def _waiting(boxes: list[str]) -> str | None:
    if not boxes:
        return None
    what = " and ".join(_WAITS[box] for box in boxes)
    return f"{what} wait and nothing moves: is a billing worker running?"


async def _probe(question: Awaitable[object]) -> str | None:
    """Return why a store does not answer, or None."""
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await question
    except TimeoutError:
        return f"no answer within {_PROBE_TIMEOUT_S:g} s"
    except MeterstreamError as exc:
        return exc.message
    return None
