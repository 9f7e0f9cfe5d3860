"""The gateway to Stripe: one object for everything we ask of it, made in a composition root."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import stripe

from runtime.errors import RefusedToStart
from runtime.settings import StripeSettings
from sinks.stripe.accounts import Accounts
from sinks.stripe.calls import API_VERSION, Calls
from sinks.stripe.charges import Charges
from sinks.stripe.checkout import Checkout
from sinks.stripe.circuit_breaker import CircuitBreaker
from sinks.stripe.coupons import Coupons
from sinks.stripe.customers import Customers
from sinks.stripe.events import Events
from sinks.stripe.http import HttpClient
from sinks.stripe.invoices import Invoices
from sinks.stripe.meter_events import MeterEvents
from sinks.stripe.meters import Meters
from sinks.stripe.payment_methods import PaymentMethods
from sinks.stripe.portal import Portal
from sinks.stripe.prices import Prices
from sinks.stripe.products import Products
from sinks.stripe.promotion_codes import PromotionCodes
from sinks.stripe.rate_limit import RateLimit
from sinks.stripe.subscription_items import SubscriptionItems
from sinks.stripe.subscription_schedules import SubscriptionSchedules
from sinks.stripe.subscriptions import Subscriptions
from sinks.stripe.tax_ids import TaxIds
from sinks.stripe.webhook_endpoints import WebhookEndpoints

# Requests a second that Stripe allows an account (https://docs.stripe.com/rate-limits).
_LIVE_PER_S: Final = 100
_SANDBOX_PER_S: Final = 25
_LIVE_KEYS: Final = ("sk_live_", "rk_live_")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class StripeGateway:
    """Speaks for one API key. Use as `async with`; calls may run side by side.

    Objects come back as plain JSON (`calls.Json`). What changes something takes a `key` first: the name of the intent,
    such as `checkout:{order}`. The same key never has its effect twice, and with other parameters it is refused; so a
    second attempt at something that was answered (a declined card) needs a key of its own.
    """

    def __init__(self, settings: StripeSettings) -> None:
        key = _checked_key(settings)
        _silence_the_library()
        self._http = HttpClient(timeout_s=settings.timeout_s, direct=_is_local(settings.api_base))
        client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": settings.api_base.rstrip("/")} if settings.api_base else {},
            max_network_retries=0,
            http_client=self._http,
        )
        calls = Calls(
            RateLimit(allowed_per_s(settings)),
            CircuitBreaker(failures=settings.breaker_failures, open_s=settings.breaker_open_s),
            timeout_s=settings.timeout_s,
            max_tries=settings.max_tries,
            give_up_s=settings.give_up_s,
        )
        self.accounts = Accounts(client, calls)
        self.charges = Charges(client, calls)
        self.checkout = Checkout(client, calls)
        self.coupons = Coupons(client, calls)
        self.customers = Customers(client, calls)
        self.events = Events(client, calls)
        self.invoices = Invoices(client, calls)
        self.meter_events = MeterEvents(client, calls)
        self.meters = Meters(client, calls)
        self.payment_methods = PaymentMethods(client, calls)
        self.portal = Portal(client, calls)
        self.prices = Prices(client, calls)
        self.products = Products(client, calls)
        self.promotion_codes = PromotionCodes(client, calls)
        self.subscription_items = SubscriptionItems(client, calls)
        self.subscription_schedules = SubscriptionSchedules(client, calls)
        self.subscriptions = Subscriptions(client, calls)
        self.tax_ids = TaxIds(client, calls)
        self.webhook_endpoints = WebhookEndpoints(client, calls)

    async def __aenter__(self) -> StripeGateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()


def allowed_per_s(settings: StripeSettings) -> int:
    """Return how many requests per second this process may send."""
    if settings.max_requests_per_s is not None:
        return settings.max_requests_per_s
    return _LIVE_PER_S if is_live(settings) else _SANDBOX_PER_S


def is_live(settings: StripeSettings) -> bool:
    """Say whether the key moves real money."""
    return settings.api_key is not None and settings.api_key.get_secret_value().startswith(_LIVE_KEYS)


def _checked_key(settings: StripeSettings) -> str:
    """Return the API key once nothing speaks against using it. Raises: RefusedToStart."""
    if stripe.api_version != API_VERSION:
        raise RefusedToStart(
            f"The stripe library speaks version {stripe.api_version} of Stripe's API, and we {API_VERSION}: install the"
            " version of stripe that the lock names."
        )
    if os.environ.get("STRIPE_LOG"):
        raise RefusedToStart("STRIPE_LOG makes the stripe library print whole requests, with secrets: unset it.")
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise RefusedToStart("Stripe needs a key: set METERSTREAM_STRIPE__API_KEY to one such as sk_test_….")
    if settings.api_base:
        base = urlsplit(settings.api_base)
        if base.scheme not in ("http", "https") or not base.hostname:
            raise RefusedToStart("METERSTREAM_STRIPE__API_BASE must be a URL such as https://127.0.0.1:12111.")
        if base.scheme == "http" and is_live(settings) and not _is_local(settings.api_base):
            raise RefusedToStart("METERSTREAM_STRIPE__API_BASE must be an https URL: a live API key travels there.")
    return key


def _is_local(api_base: str | None) -> bool:
    return api_base is not None and urlsplit(api_base).hostname in _LOOPBACK


def _silence_the_library() -> None:
    """Keep secrets where they are: at these levels the libraries log URLs and bodies, client secrets included."""
    for name in ("stripe", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Otherwise it writes a machine's id to the home directory and sends it along.
    stripe.enable_telemetry = False
