"""Builds the HTTP application; `main` gives it its stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import dead_letters, event_search, events, health, ledger, meter_queries, meters, subjects
from api.authentication import KeyCache
from api.documentation import install_documentation
from api.errors import install_error_handlers
from api.monitor import Monitor
from api.request_context import BoundedBody, RequestContext
from api.stores import Stores
from runtime.settings import Settings
from runtime.telemetry import Telemetry

_DESCRIPTION = """
Usage events in, exact meters out. Everything is under `/api/v1` and takes `Authorization: Bearer <API key>`.

Errors have one shape (`success`, `error.code`, `error.message`, `error.details`, `request_id`); with
`Accept: application/problem+json` they are RFC 9457. Lists take `limit` and `cursor`. Quantities are decimal strings:
no number here ever was a float.
"""
_TAGS = [
    {"name": "events", "description": "Send usage, and find what was sent."},
    {"name": "meters", "description": "What is counted, and the numbers."},
    {"name": "subjects", "description": "Whose usage was seen."},
    {"name": "dead-letters", "description": "What could not be used: mend it and send it again, or discard it."},
    {"name": "ledger", "description": "The proof that nothing is lost (operators)."},
    {"name": "operations", "description": "Health and metrics; no key needed."},
]


def create_app(settings: Settings, stores: Stores, *, telemetry: Telemetry | None = None) -> FastAPI:
    """Return the application; it opens the stores when it starts and closes them when it stops."""

    telemetry = telemetry or Telemetry()
    monitor = Monitor(
        stores,
        telemetry,
        whole_log=settings.kafka.retention_ms < 0,
        stalled_after_s=settings.api.stalled_after_s,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with stores.opened():
            watching = asyncio.create_task(monitor.run(), name="monitor")
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    app = FastAPI(
        title="Meterstream",
        version=version("meterstream"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.stores = stores
    app.state.keys = KeyCache()
    app.state.telemetry = telemetry
    app.state.monitor = monitor
    install_error_handlers(app)
    for module in (events, event_search, meters, meter_queries, subjects, dead_letters, ledger, health):
        app.include_router(module.router)
    install_documentation(app)
    # The last one added is the outermost.
    app.add_middleware(BoundedBody, max_bytes=settings.api.max_body_bytes)
    app.add_middleware(RequestContext, telemetry=telemetry)
    return app
