"""Composition root of the HTTP service: settings, logs, stores, server."""

from __future__ import annotations

import gc

import uvicorn

from api.app import create_app
from api.stores import build_stores
from runtime.logging import configure_logging
from runtime.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests in hand are finished first."""
    configure_logging("api", level=settings.log_level, style=settings.log_format)
    app = create_app(settings, build_stores(settings))
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        # Longer than a request may wait for Kafka.
        timeout_graceful_shutdown=round(settings.api.produce_timeout_s) + 5,
        server_header=False,
        # The application itself believes the proxies that the settings name, and no others.
        proxy_headers=False,
    )
    # Routes and models are hundreds of thousands of objects that never are garbage: looking through them stops every
    # request for 0.2 s, under load every two seconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    uvicorn.Server(config).run()
