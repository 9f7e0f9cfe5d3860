"""The gateway and the simulator, with faults between them: what was meant is there once, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from runtime.clock import utc_now
from runtime.errors import ConflictError, InvalidInput, NotFoundError, PaymentFailed, StripeAPIError
from sinks.stripe.client import StripeGateway
from tests.integration.stripe.simulator_process import SimulatorProcess

pytestmark = pytest.mark.integration


async def test_a_cancellation_whose_answer_was_lost_is_done(process: SimulatorProcess) -> None:
    async with StripeGateway(process.settings()) as gateway:
        subscription = await _subscribe(gateway)
        process.break_things({"kind": "drop_after", "method": "DELETE", "times": 1})
        ended = await gateway.subscriptions.cancel_now(subscription)
        assert (ended["id"], ended["status"]) == (subscription, "canceled")
        assert (await gateway.subscriptions.cancel_now(subscription))["status"] == "canceled"
        with pytest.raises(NotFoundError):
            await gateway.subscriptions.cancel_now("sub_of_nobody")


async def test_a_meter_event_that_stripe_holds_already_is_told_and_counted_once(process: SimulatorProcess) -> None:
    async with StripeGateway(process.settings()) as gateway:
        meter = await gateway.meters.create("meter", event_name="tokens", display_name="Tokens")
        customer = (await gateway.customers.create("customer"))["id"]
        at = utc_now()

        async def send() -> bool:
            return await gateway.meter_events.send(
                identifier="usage:1", event_name="tokens", customer=customer, value=5, at=at
            )

        # Under another key, as if ours were forgotten after its 24 hours.
        form = {"event_name": "tokens", "identifier": "usage:1", "timestamp": str(int(at.timestamp()))}
        payload = {"payload[stripe_customer_id]": customer, "payload[value]": "5"}
        sent = process.control.post("/v1/billing/meter_events", data={**form, **payload})
        assert sent.is_success
        assert await send() is False
        await _until_counted(gateway, meter["id"], {customer: 5}, at)


async def _until_counted(gateway: StripeGateway, meter: str, usage: dict[str, int], at: datetime) -> None:
    """Wait until Stripe has counted exactly this for each customer; it does so a moment after it answers."""
    minute = int(at.timestamp()) // 60 * 60

    async def counted(customer: str) -> int:
        window: Any = {"customer": customer, "start_time": minute, "end_time": minute + 60}
        return int(sum([found["aggregated_value"] async for found in gateway.meters.summaries(meter, **window)]))

    async with asyncio.timeout(30):
        while (found := {customer: await counted(customer) for customer in usage}) != usage:
            assert all(found[customer] <= most for customer, most in usage.items()), "counted twice"
            await asyncio.sleep(0.5)


async def test_refusals_say_what_was_wrong(process: SimulatorProcess) -> None:
    async with StripeGateway(process.settings()) as gateway:
        customer = (await gateway.customers.create("customer", name="Ada"))["id"]
        with pytest.raises(ConflictError) as reused:
            await gateway.customers.create("customer", name="Eve")
        assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
        with pytest.raises(NotFoundError) as unknown:
            await gateway.customers.get("cus_of_nobody")
        assert unknown.value.details["stripe_request_id"].startswith("req_")
        with pytest.raises(PaymentFailed) as declined:
            await gateway.payment_methods.attach("card", "pm_card_chargeDeclined", customer)
        assert declined.value.details["decline_code"] == "generic_decline"
        with pytest.raises(InvalidInput) as wrong:
            await gateway.coupons.create("coupon", percent_off=150, duration="once")
        assert wrong.value.details["field"] == "percent_off"
        await gateway.coupons.create("coupon:a", id="HALF", percent_off=50, duration="once")
        with pytest.raises(ConflictError):
            await gateway.coupons.create("coupon:b", id="HALF", percent_off=50, duration="once")
        assert (await gateway.coupons.delete("HALF"))["deleted"] is True
        assert (await gateway.coupons.delete("HALF"))["deleted"] is True
    wrong_key = process.settings().model_copy(update={"api_key": SecretStr("sk_test_of_somebody_else")})
    async with StripeGateway(wrong_key) as gateway:
        with pytest.raises(StripeAPIError, match="does not accept our API key") as stranger:
            await gateway.customers.get("cus_1")
        assert "somebody" not in f"{stranger.value!r} {stranger.value.details}"


async def test_long_lists_come_whole_and_in_order(process: SimulatorProcess) -> None:
    async with StripeGateway(process.settings(max_requests_per_s=500)) as gateway:
        made = [(await gateway.customers.create(f"customer:{n}"))["id"] for n in range(23)]
        found = [customer["id"] async for customer in gateway.customers.each(limit=5)]
    assert found == made[::-1]


async def _subscribe(gateway: StripeGateway) -> str:
    product = (await gateway.products.create("product", name="Pro"))["id"]
    price = await gateway.prices.create(
        "price", product=product, currency="usd", unit_amount=900, recurring={"interval": "month"}
    )
    customer = (await gateway.customers.create("customer"))["id"]
    card = await gateway.payment_methods.attach("card", "pm_card_visa", customer)
    await gateway.payment_methods.set_default("default", card["id"], customer)
    subscription = await gateway.subscriptions.create("sub", customer=customer, items=[{"price": price["id"]}])
    return str(subscription["id"])
