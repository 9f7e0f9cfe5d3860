"""Builds the HTTP application; `main` gives it its stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.access.authentication import KeyCache
from api.access.memberships import People
from api.access.rate_limits import HEADERS as LIMIT_HEADERS
from api.access.rate_limits import RateLimiter, RateLimits
from api.access.tokens import TokenReader
from api.catalogue import discount_codes, plans
from api.customers import customers, event_stream, payment_methods, portal
from api.customers.event_stream import Streams
from api.http.caching import CachedAnswers
from api.http.documentation import install_documentation
from api.http.errors import install_error_handlers
from api.http.idempotency import HEADER as KEY_HEADER
from api.http.idempotency import REPLAYED, KeptAnswers, install_replays
from api.http.query_parameters import install_query_parameters
from api.http.request_context import BoundedBody, RequestContext
from api.operations import dead_letters, health, ledger
from api.operations.monitor import Monitor
from api.stores import Stores
from api.stripe import webhooks as stripe_webhooks
from api.subscriptions import (
    checkout,
    invoices,
    previews,
    subscription_actions,
    subscription_changes,
    subscriptions,
)
from api.tenants import api_keys, audit, invitations, members, organizations
from api.usage import event_search, events, meter_queries, meters, subjects
from runtime.settings import Settings
from runtime.tasks import end_tasks
from runtime.telemetry import Telemetry

_DESCRIPTION = """
Usage events in, exact meters out; plans, subscriptions and invoices that agree with Stripe. Everything is under
`/api/v1` and takes `Authorization: Bearer …`: an organization's API key, or the token (JWT) of a person, who acts for
the organization that `X-Organization` names, or without it sees what is their own. Writes take `Idempotency-Key`.

Errors have one shape (`success`, `error.code`, `error.message`, `error.details`, `request_id`); with
`Accept: application/problem+json` they are RFC 9457. Lists take `limit` and `cursor`. Query parameters and fields that
an operation does not have are refused with 400. Quantities are decimal strings: no number here ever was a float.
"""
_TAGS = [
    {"name": "events", "description": "Send usage, and find what was sent."},
    {"name": "meters", "description": "What is counted, and the numbers."},
    {"name": "subjects", "description": "Whose usage was seen."},
    {"name": "plans", "description": "What is sold, at which prices and with which limits."},
    {"name": "customers", "description": "Who buys."},
    {"name": "payment-methods", "description": "What customers pay with; never a number."},
    {"name": "checkout", "description": "Stripe's pages, on which customers buy and look after what they bought."},
    {"name": "discount-codes", "description": "What customers type to pay less."},
    {"name": "subscriptions", "description": "What customers pay for: begun, changed, previewed, paused, ended."},
    {"name": "invoices", "description": "What was billed, and is paid."},
    {"name": "webhooks", "description": "Where Stripe tells what happened; what could not be applied (operators)."},
    {"name": "organizations", "description": "Who sells: the tenants."},
    {"name": "members", "description": "Who acts for an organization, and who is invited to."},
    {"name": "api-keys", "description": "How programs act for an organization."},
    {"name": "audit-log", "description": "Who did what, from where, before and after."},
    {"name": "dead-letters", "description": "What could not be used: mend it and send it again, or discard it."},
    {"name": "ledger", "description": "The proof that nothing is lost (operators)."},
    {"name": "operations", "description": "Health and metrics; no key needed."},
]

# The busiest first: they are tried one after the other.
_ROUTES = (
    stripe_webhooks,
    events,
    subscriptions,
    plans,
    customers,
    invoices,
    meter_queries,
    event_search,
    event_stream,
    meters,
    subjects,
    payment_methods,
    checkout,
    portal,
    discount_codes,
    subscription_changes,
    subscription_actions,
    previews,
    organizations,
    members,
    invitations,
    api_keys,
    audit,
    dead_letters,
    ledger,
    health,
)

# Which headers a page of another origin may send, and read beyond those that browsers always show.
_SENT_BY_PAGES = ("Authorization", "Content-Type", KEY_HEADER, "X-Organization", "Last-Event-ID")
_READ_BY_PAGES = (*LIMIT_HEADERS, "Retry-After", "X-Request-ID", REPLAYED, "ETag")


def create_app(settings: Settings, stores: Stores, *, telemetry: Telemetry | None = None) -> FastAPI:
    """Return the application; it opens the stores when it starts and closes them when it stops."""

    telemetry = telemetry or Telemetry()
    monitor = Monitor(
        stores,
        telemetry,
        whole_log=settings.kafka.retention_ms < 0,
        stalled_after_s=settings.api.stalled_after_s,
    )

    streams = Streams(settings, telemetry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with stores.opened(), streams.woken():
            watching = asyncio.create_task(monitor.run(), name="monitor")
            try:
                yield
            finally:
                await end_tasks(watching)

    app = FastAPI(
        title="Meterstream",
        version=version("meterstream"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # Metrics and traces are ours: `RequestContext`.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.stores = stores
    app.state.keys = KeyCache()
    app.state.people = People(TokenReader(settings.identity))
    app.state.telemetry = telemetry
    app.state.monitor = monitor
    app.state.streams = streams
    app.state.probes = health.probes_of(stores)
    app.state.rate_limiter = limiter = RateLimiter(settings.api, stores.limits, telemetry)
    install_error_handlers(app)
    install_replays(app)
    # As one flat list: to pass an included router costs a request more than its routes do.
    app.router.routes.extend(route for module in _ROUTES for route in module.router.routes)
    install_query_parameters(app)
    install_documentation(app)
    # The last one added is the outermost.
    app.add_middleware(KeptAnswers, stores=stores)
    app.add_middleware(BoundedBody, max_bytes=settings.api.max_body_bytes)
    app.add_middleware(RateLimits, limiter=limiter)
    app.add_middleware(CachedAnswers, cache=stores.cache, telemetry=telemetry)
    if settings.api.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.api.trusted_proxies))
    app.add_middleware(RequestContext, telemetry=telemetry)
    if settings.api.cors_origins:
        # Outside all else, so that a page can read each answer, 429 and 500 too. No cookies: credentials are headers.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.api.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=_SENT_BY_PAGES,
            expose_headers=_READ_BY_PAGES,
            max_age=7200,  # what Chromium keeps at most
        )
    return app
