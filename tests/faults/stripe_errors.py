"""A process that meets every kind of error of Stripe's and of Postgres's, and logs each with its trace at DEBUG.

Logs go to standard error; the secrets that only this process can know go to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, cast

import httpx
from pydantic import SecretStr

from devstack.ports import free_port
from runtime.clock import utc_now
from runtime.errors import MeterstreamError
from runtime.logging import configure_logging, get_logger
from runtime.settings import PostgresSettings, Settings, StripeSettings
from sinks.postgres.pool import connect, make_pool, translated_errors
from sinks.stripe.client import StripeGateway
from sinks.stripe.webhooks import verify

log = get_logger(__name__)

CARD = "4000000000000002"
"""A number that is declined, given where an id belongs."""
_FAULTS: dict[str, dict[str, Any]] = {
    "5xx": {"kind": "error_before", "status": 503},
    "429": {"kind": "rate_limit"},
    "dropped": {"kind": "drop_before"},
    "late": {"kind": "latency", "seconds": 1},
}


async def meet(what: str, call: Callable[[], Awaitable[Any]]) -> None:
    """Let a call fail, and log it."""
    try:
        await call()
    except MeterstreamError as exc:
        log.exception("it failed", what=what, error=repr(exc), said=str(exc), details=exc.details)
    else:
        raise AssertionError(f"{what} did not fail")


async def refusals(gateway: StripeGateway, secrets: list[str]) -> str:
    """Meet what Stripe refuses, with each secret where an id belongs; return the client secret of a SetupIntent."""
    customer = (await gateway.customers.create("customer", name="Ada"))["id"]
    methods, subscribe = gateway.payment_methods, partial(gateway.subscriptions.create, customer=customer)
    client_secret = str((await methods.start_adding("intent", customer))["client_secret"])
    for number, secret in enumerate([*secrets, client_secret]):
        await meet("unknown", partial(gateway.customers.get, secret))
        await meet("attached", partial(methods.attach, f"attach:{number}", secret, customer))
        await meet("subscribed", partial(subscribe, f"subscribe:{number}", items=[{"price": secret}]))
    await meet("declined", partial(methods.attach, "declined", "pm_card_chargeDeclined", customer))
    await meet("conflict", partial(gateway.customers.create, "customer", name="Eve"))
    await meet("invalid", partial(gateway.coupons.create, "coupon", percent_off=150, duration="once"))
    product = (await gateway.products.create("product", name="Pro"))["id"]
    terms: Any = {"currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    price = (await gateway.prices.create("price", product=product, **terms))["id"]
    card = (await methods.attach("card", "pm_card_authenticationRequired", customer))["id"]
    await methods.set_default("default", card, customer)
    pay: Any = {"items": [{"price": price}], "payment_behavior": "error_if_incomplete"}
    await meet("authentication", partial(subscribe, "asked", **pay))
    return client_secret


async def outages(settings: StripeSettings, key: str) -> None:
    """Meet a Stripe that fails in every way, none at all, and one that does not know us."""
    hasty = settings.model_copy(update={"max_tries": 2, "timeout_s": 0.5})
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=settings.api_base or "", headers=headers, trust_env=False) as control:
        for what, rule in _FAULTS.items():
            (await control.put("/_simulator/faults", json={"rules": [rule]})).raise_for_status()
            await meet(what, partial(_write, hasty, f"fault:{what}"))
        (await control.put("/_simulator/faults", json={"rules": []})).raise_for_status()
    nowhere = {"api_base": f"http://127.0.0.1:{free_port()}", "breaker_failures": 1}
    for what, changes in {
        "unreachable": nowhere,
        "stranger": {"api_key": SecretStr(key[::-1])},
        "broken key": {"api_key": SecretStr(f"{key}\n")},
        "broken address": {"api_base": key},
    }.items():
        await meet(what, partial(_write, hasty.model_copy(update=changes), what))


async def _write(settings: StripeSettings, key: str) -> None:
    async with StripeGateway(settings) as gateway:
        await gateway.customers.create(key)


async def forgeries(settings: StripeSettings, client_secret: str) -> None:
    """Meet webhooks that nobody signed, whose header or body holds secrets."""
    body = json.dumps({"id": "evt_1", "client_secret": client_secret}).encode()
    secret, seconds = settings.webhook_secrets[0].get_secret_value(), int(utc_now().timestamp())

    async def check(header: str | None) -> None:
        verify(body, header, settings.webhook_secrets, utc_now())

    headers = {"unsigned": None, "malformed": secret, "forged": f"t={seconds},v1={secret}"}
    for what, header in headers.items():
        await meet(what, partial(check, header))


async def lost_database(settings: PostgresSettings) -> None:
    """Meet a Postgres that is not there, and one whose URL is mistyped."""

    async def open_one(url: str) -> None:
        connect(settings.model_copy(update={"url": SecretStr(url)}), service="errors")

    async def use_pool() -> None:
        async with make_pool(settings, service="errors") as pool:
            with translated_errors():
                await pool.getconn()

    url = settings.url.get_secret_value()
    await meet("no database", partial(open_one, url))
    await meet("no pool", use_pool)
    await meet("no port", partial(open_one, url.replace("127.0.0.1:1/", "127.0.0.1:port/")))
    await meet("no URL", partial(open_one, url.replace("://", "//")))


async def main() -> None:
    """Meet all of them."""
    configure_logging("stripe-errors", level="DEBUG", style=cast(Literal["json", "console"], sys.argv[1]))
    settings = Settings()
    stripe = settings.stripe
    assert stripe.api_key is not None
    known = [one.get_secret_value() for one in (stripe.api_key, *stripe.webhook_secrets)]
    async with StripeGateway(stripe) as gateway:
        client_secret = await refusals(gateway, [*known, CARD])
    await outages(stripe, known[0])
    await forgeries(stripe, client_secret)
    await lost_database(settings.postgres)
    json.dump({"client_secret": client_secret}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
