"""Composition root of the HTTP service: settings, logs, stores, server."""

from __future__ import annotations

import asyncio
import gc

import uvicorn

from api.app import create_app
from api.stores import build_stores
from runtime.errors import DatabaseError, Unavailable
from runtime.logging import configure_logging, get_logger
from runtime.settings import Settings
from sinks.postgres.access import API_ROLE
from sinks.stripe_account import require_same_account

log = get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests in hand are finished first. Raises: RefusedToStart."""
    configure_logging("api", level=settings.log_level, style=settings.log_format)
    if settings.stripe.api_key is not None:
        asyncio.run(_check_stripe(settings))
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


async def _check_stripe(settings: Settings) -> None:
    """Warn of what would only be seen when money has moved. Raises: RefusedToStart."""
    if not settings.stripe.webhook_secrets:
        log.warning(
            "no webhook secret is set: every event of Stripe's is answered with 503, and comes in hourly at best",
            setting="METERSTREAM_STRIPE__WEBHOOK_SECRETS",
        )
    try:
        await require_same_account(settings, service="api", role=API_ROLE)
    except (Unavailable, DatabaseError) as exc:
        # The API waits for its stores while it serves; workers look again.
        log.warning("cannot read which account of Stripe's the database follows", reason=exc.message)
