"""Everything that the gateway can do, done once against a simulator: short scenes, in the order of a business."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.periods import Cycle, Interval
from runtime.errors import InvalidInput, MeterstreamError, NotFoundError, PaymentFailed
from sinks.stripe.item_changes import WantedItem
from tests.contract.business import BEGAN_AT, CARD, DECLINED, Business, listed


async def catalogue(business: Business) -> None:
    """Products, a meter, and prices of every form."""
    gateway = business.gateway
    product = (await gateway.products.create("product", id="pro", name="Pro", metadata={"plan": "pro"}))["id"]
    await gateway.products.update("product:name", product, name="Professional", description="For teams")
    assert (await gateway.products.get(product))["name"] == "Professional"
    meter = await gateway.meters.create("meter", event_name="tokens", display_name="Tokens")
    await gateway.meters.rename("meter:name", meter["id"], "LLM tokens")
    assert (await gateway.meters.get(meter["id"]))["display_name"] == "LLM tokens"
    found = await gateway.meters.find("tokens")
    assert found is not None
    assert found["id"] == meter["id"]

    licensed: Any = {"product": product, "currency": "usd", "recurring": {"interval": "month"}}
    metered: Any = {**licensed, "recurring": {"interval": "month", "usage_type": "metered", "meter": meter["id"]}}
    tiers: Any = [
        {"up_to": 1000, "unit_amount_decimal": "0.5", "flat_amount": 100},
        {"up_to": "inf", "unit_amount_decimal": "0.25"},
    ]
    forms: dict[str, Any] = {
        "flat": {**licensed, "unit_amount": 2900},
        "small": {**licensed, "unit_amount": 900, "nickname": "Small"},
        "seats": {**licensed, "unit_amount": 1500, "currency_options": {"eur": {"unit_amount": 1400}}},
        "yearly": {**licensed, "recurring": {"interval": "year"}, "unit_amount": 29000},
        "tokens": {**metered, "unit_amount_decimal": "0.015"},
        "graduated": {**metered, "billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers},
        "volume": {**licensed, "billing_scheme": "tiered", "tiers_mode": "volume", "tiers": tiers},
        "package": {**metered, "unit_amount": 500, "transform_quantity": {"divide_by": 100, "round": "up"}},
    }
    for slug, form in forms.items():
        price = await gateway.prices.create(f"price:{slug}", lookup_key=f"pro:{slug}", metadata={"slug": slug}, **form)
        business.prices[slug] = price["id"]
    old = await gateway.prices.create("price:old", unit_amount=1, **licensed)
    await gateway.prices.archive("price:old:archive", old["id"])
    await gateway.prices.update("price:name", business.prices["flat"], nickname="Base")
    assert (await gateway.prices.get(business.prices["graduated"]))["tiers"][1]["up_to"] is None
    assert len(await listed(gateway.prices.each(product=product))) == len(forms) + 1
    assert len(await listed(gateway.prices.each(lookup_keys=["pro:flat", "pro:seats"]))) == 2

    spare = (await gateway.products.create("product:spare", name="Spare"))["id"]
    await gateway.products.archive("product:spare:archive", spare)
    assert [each["id"] for each in await listed(gateway.products.each(active=True))] == [product]
    other = (await gateway.meters.create("meter:other", event_name="other", display_name="Other"))["id"]
    await gateway.meters.deactivate("meter:other:off", other)
    await gateway.meters.reactivate("meter:other:on", other)
    assert len(await listed(gateway.meters.each())) == 2


async def customers(business: Business) -> None:
    """Customers and their cards."""
    gateway = business.gateway
    assert (await gateway.accounts.own())["object"] == "account"
    customer = await business.customer()
    await gateway.customers.update("customer:note", customer, description="first", metadata={"subject": "ada"})
    assert (await gateway.customers.get(customer))["metadata"] == {"subject": "ada"}
    intent = await gateway.payment_methods.start_adding("intent", customer)
    assert (await gateway.payment_methods.get_intent(intent["id"]))["client_secret"]
    second = await gateway.payment_methods.attach("second", "pm_card_mastercard", customer)
    assert len(await listed(gateway.payment_methods.each(customer))) == 2
    await gateway.payment_methods.detach("second:off", second["id"])
    assert (await gateway.payment_methods.get(second["id"]))["customer"] is None
    with pytest.raises(PaymentFailed):
        await gateway.payment_methods.attach("declined", "pm_card_chargeDeclined", customer)
    first = await gateway.tax_ids.create("tax", customer, type="eu_vat", value="DE123456789")
    await gateway.tax_ids.create("tax:verified", customer, type="gb_vat", value="000000000")
    shown = await gateway.customers.get(customer, expand=["tax_ids"])
    assert [each["verification"]["status"] for each in shown["tax_ids"]["data"]] == ["verified", "pending"]
    await gateway.tax_ids.delete(customer, first["id"])
    assert [each["value"] for each in await listed(gateway.tax_ids.each(customer))] == ["000000000"]
    with pytest.raises(InvalidInput):
        await gateway.tax_ids.create("tax:wrong", customer, type="eu_vat", value="DE1")
    gone = await business.customer(card=None)
    await gateway.tax_ids.create("tax:gone", gone, type="us_ein", value="12-3456789")
    await gateway.customers.delete(gone)
    assert (await gateway.customers.get(gone, expand=["tax_ids"]))["deleted"] is True
    assert customer in [each["id"] for each in await listed(gateway.customers.each(email="ada@example.com"))]


async def discounts(business: Business) -> None:
    """Coupons, and the codes that customers type."""
    gateway = business.gateway
    await gateway.coupons.create("coupon", id="HALF", percent_off=50, duration="repeating", duration_in_months=3)
    await gateway.coupons.create("coupon:amount", id="FIVE", amount_off=500, currency="usd", duration="once")
    code = await gateway.promotion_codes.create(
        "code", promotion={"type": "coupon", "coupon": "HALF"}, code="LAUNCH", max_redemptions=10
    )
    found = await gateway.promotion_codes.find("LAUNCH")
    assert found is not None
    await gateway.promotion_codes.set_active("code:off", code["id"], active=False)
    assert (await gateway.promotion_codes.get(code["id"]))["active"] is False
    assert len(await listed(gateway.promotion_codes.each())) == 1
    assert (await gateway.coupons.get("HALF"))["percent_off"] == 50
    customer = await business.customer()
    subscription = await gateway.subscriptions.create(
        "discounted", customer=customer, items=[{"price": business.prices["flat"]}], discounts=[{"coupon": "HALF"}]
    )
    (invoice,) = await listed(gateway.invoices.each(subscription=subscription["id"]))
    assert invoice["total"] == 1450
    await gateway.coupons.delete("FIVE")
    assert [each["id"] for each in await listed(gateway.coupons.each())] == ["HALF"]


async def subscriptions(business: Business) -> None:
    """A subscription's changes, its items and its schedule."""
    gateway = business.gateway
    customer = await business.customer()
    created = await gateway.subscriptions.create(
        "subscribe",
        customer=customer,
        items=[{"price": business.prices["flat"]}, {"price": business.prices["seats"], "quantity": 2}],
        trial_period_days=14,
        metadata={"plan": "pro"},
    )
    subscription = created["id"]
    assert created["status"] == "trialing"
    await gateway.subscriptions.set_trial_end("trial:later", subscription, datetime.now(UTC) + timedelta(days=20))
    active = await gateway.subscriptions.set_trial_end("trial:end", subscription, "now")
    assert active["status"] == "active"
    seats = next(each for each in created["items"]["data"] if each["price"]["id"] == business.prices["seats"])
    await gateway.subscriptions.change_items(
        "change", subscription, [{"id": seats["id"], "quantity": 5}], proration_at=datetime.now(UTC)
    )
    await gateway.subscription_items.update("seats", seats["id"], quantity=6)
    assert (await gateway.subscription_items.get(seats["id"]))["quantity"] == 6
    added = await gateway.subscription_items.create("item", subscription=subscription, price=business.prices["tokens"])
    assert len(await listed(gateway.subscription_items.each(subscription=subscription))) == 3
    await gateway.subscription_items.delete(added["id"], clear_usage=True)
    await gateway.subscriptions.update("note", subscription, description="Team")
    await gateway.subscriptions.cancel_at_period_end("leave", subscription)
    await gateway.subscriptions.reactivate("stay", subscription)
    await gateway.subscriptions.pause("pause", subscription, until=datetime.now(UTC) + timedelta(days=5))
    await gateway.subscriptions.resume("resume", subscription)
    assert (await gateway.subscriptions.get(subscription))["pause_collection"] is None
    await _schedules(business, subscription)
    await _pause_for_want_of_a_card(business)
    assert len(await listed(gateway.subscriptions.each(customer=customer))) == 1
    ended = await gateway.subscriptions.cancel_now(subscription, invoice_now=True, prorate=True)
    assert ended["status"] == "canceled"
    assert (await gateway.subscriptions.cancel_now(subscription))["status"] == "canceled"


async def _pause_for_want_of_a_card(business: Business) -> None:
    gateway, clock = business.gateway, business.clock()
    customer = await business.customer(clock=clock, card=None)
    created = await gateway.subscriptions.create(
        "cardless",
        customer=customer,
        items=[{"price": business.prices["flat"]}],
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    await business.advance(clock, BEGAN_AT + timedelta(days=8))
    assert (await gateway.subscriptions.get(created["id"]))["status"] == "paused"
    method = await gateway.payment_methods.attach("cardless:card", CARD, customer)
    await gateway.payment_methods.set_default("cardless:default", method["id"], customer)
    assert (await gateway.subscriptions.unpause("unpause", created["id"]))["status"] == "active"


async def _schedules(business: Business, subscription: str) -> None:
    gateway = business.gateway
    schedule = await gateway.subscription_schedules.create_from("schedule", subscription)
    now = schedule["phases"][0]
    items: Any = [{"price": each["price"], "quantity": each.get("quantity", 1)} for each in now["items"]]
    await gateway.subscription_schedules.update(
        "schedule:phases",
        schedule["id"],
        end_behavior="release",
        phases=[
            {"start_date": now["start_date"], "end_date": now["end_date"], "items": items},
            {"items": [{"price": business.prices["small"]}], "duration": {"interval": "month", "interval_count": 1}},
        ],
    )
    assert len((await gateway.subscription_schedules.get(schedule["id"]))["phases"]) == 2
    await gateway.subscription_schedules.release("schedule:release", schedule["id"])
    other = await gateway.subscriptions.create(
        "scheduled", customer=await business.customer(), items=[{"price": business.prices["flat"]}]
    )
    second = await gateway.subscription_schedules.create_from("schedule:other", other["id"])
    coming = [WantedItem(business.prices["seats"], 3), WantedItem(business.prices["tokens"], None)]
    await gateway.subscription_schedules.set_next(
        "schedule:next", second, other, coming, Cycle(Interval.MONTH), metadata={"of": "scenes"}
    )
    assert len((await gateway.subscription_schedules.get(second["id"]))["phases"]) == 2
    await gateway.subscription_schedules.cancel("schedule:cancel", second["id"])
    third = await gateway.subscriptions.create(
        "ending", customer=await business.customer(), items=[{"price": business.prices["flat"]}]
    )
    ending = await gateway.subscription_schedules.create_from("schedule:ending", third["id"])
    ending = await gateway.subscription_schedules.end_with_phase("schedule:end", ending, third)
    await gateway.subscription_schedules.release("schedule:let-go", ending["id"], preserve_cancel_date=True)
    end = third["items"]["data"][0]["current_period_end"]
    assert (await gateway.subscriptions.get(third["id"]))["cancel_at"] == end
    assert len(await listed(gateway.subscription_schedules.each())) == 3


async def invoices(business: Business) -> None:
    """Invoices that are paid, refused, voided and given up."""
    gateway = business.gateway
    customer = await business.customer(card=DECLINED)
    first: list[str] = []
    for number in range(3):
        subscription = await gateway.subscriptions.create(
            f"unpaid:{number}",
            customer=customer,
            items=[{"price": business.prices["flat"]}],
            payment_behavior="allow_incomplete",
        )
        assert subscription["status"] == "incomplete"
        first.append(subscription["latest_invoice"])
    with pytest.raises(PaymentFailed):
        await gateway.invoices.pay("pay:refused", first[0])
    card = await gateway.payment_methods.attach("good", CARD, customer)
    paid = await gateway.invoices.pay("pay", first[0], payment_method=card["id"])
    assert paid["status"] == "paid"
    assert (await gateway.invoices.get(first[0], expand=["customer", "lines.data.discounts"]))["amount_remaining"] == 0
    assert len(await listed(gateway.invoices.lines(first[0]))) == 1
    (payment,) = await listed(gateway.invoices.payments(first[0]))
    intent = payment["payment"]["payment_intent"]
    assert [each["invoice"] for each in await listed(gateway.invoices.paid_by(intent))] == [first[0]]
    business.take_back(intent, refund_minor=900)
    (charge,) = await listed(gateway.charges.of_payment(intent))
    assert (charge["amount_refunded"], charge["disputed"]) == (900, True)
    assert [each["amount"] for each in await listed(gateway.charges.disputes_of_payment(intent))] == [2_000]
    assert (await gateway.invoices.void("void", first[1]))["status"] == "void"
    assert (await gateway.invoices.mark_uncollectible("give-up", first[2]))["status"] == "uncollectible"
    preview = await gateway.invoices.preview(
        customer=customer, subscription_details={"items": [{"price": business.prices["flat"]}]}
    )
    assert preview["total"] == 2900
    assert len(await listed(gateway.invoices.each(customer=customer))) >= 3


async def usage(business: Business) -> None:
    """Metered usage over a period's end, on a test clock, and a card that fails at the renewal after it."""
    gateway = business.gateway
    clock = business.clock()
    customer = await business.customer(clock=clock)
    items: Any = [{"price": business.prices[slug]} for slug in ("flat", "graduated", "volume")]
    subscription = (await gateway.subscriptions.create("metered", customer=customer, items=items))["id"]
    await business.advance(clock, BEGAN_AT + timedelta(hours=4))
    for number, value in enumerate((900, 600, 7)):
        sent = await gateway.meter_events.send(
            identifier=f"u{number}",
            event_name="tokens",
            customer=customer,
            value=value,
            at=BEGAN_AT + timedelta(hours=number + 1),
        )
        assert sent
    await gateway.meter_events.cancel(identifier="u2", event_name="tokens")
    await business.advance(clock, datetime(2027, 2, 28, 11, tzinfo=UTC))
    meter = await gateway.meters.find("tokens")
    assert meter is not None
    counted = await listed(
        gateway.meters.summaries(
            meter["id"],
            customer=customer,
            start_time=int(BEGAN_AT.timestamp()),
            end_time=int(BEGAN_AT.timestamp()) + 86_400,
        )
    )
    assert sum(each["aggregated_value"] for each in counted) == 1500
    await business.advance(clock, datetime(2027, 2, 28, 12, 30, tzinfo=UTC))
    drafts = await listed(gateway.invoices.each(subscription=subscription, status="draft"))
    assert len(drafts) == 1
    await gateway.invoices.finalize("finalize", drafts[0]["id"])
    await business.advance(clock, datetime(2027, 2, 28, 18, tzinfo=UTC))
    assert (await gateway.invoices.get(drafts[0]["id"]))["status"] == "paid"
    broken = await gateway.payment_methods.attach("broken", DECLINED, customer)
    await gateway.payment_methods.set_default("broken:default", broken["id"], customer)
    await business.advance(clock, datetime(2027, 4, 1, tzinfo=UTC))
    assert (await gateway.subscriptions.get(subscription))["status"] == "past_due"


async def pages(business: Business) -> None:
    """Checkout and portal."""
    gateway = business.gateway
    customer = await business.customer()
    urls: Any = {"success_url": "https://example.com/done", "cancel_url": "https://example.com/back"}
    session = await gateway.checkout.create(
        "checkout",
        mode="subscription",
        customer=customer,
        line_items=[{"price": business.prices["flat"], "quantity": 1}, {"price": business.prices["tokens"]}],
        subscription_data={"trial_period_days": 7, "metadata": {"plan": "pro"}},
        **urls,
    )
    assert (await gateway.checkout.get(session["id"]))["status"] == "open"
    await gateway.checkout.expire("checkout:expire", session["id"])
    await gateway.checkout.create("setup", mode="setup", currency="usd", customer=customer, **urls)
    assert len(await listed(gateway.checkout.each(customer=customer))) == 2

    features: Any = {"invoice_history": {"enabled": True}, "payment_method_update": {"enabled": True}}
    configuration = (await gateway.portal.create_configuration("portal", features=features))["id"]
    await gateway.portal.update_configuration(
        "portal:cancel", configuration, features={"subscription_cancel": {"enabled": True, "mode": "at_period_end"}}
    )
    assert (await gateway.portal.get_configuration(configuration))["active"] is True
    assert configuration in [each["id"] for each in await listed(gateway.portal.each_configuration())]
    link = await gateway.portal.create_session(
        "portal:session", customer=customer, configuration=configuration, return_url="https://example.com"
    )
    assert link["url"]


async def events(business: Business) -> None:
    """What happened, and where it is sent."""
    gateway = business.gateway
    endpoint = await gateway.webhook_endpoints.create(
        "endpoint", url="http://127.0.0.1:9/nobody", enabled_events=["customer.created", "invoice.paid"]
    )
    assert endpoint["secret"].startswith("whsec_")
    began = datetime.now(UTC) - timedelta(seconds=5)
    customer = await business.customer(card=None)
    missed = await listed(gateway.events.undelivered(since=began))
    assert customer in [each["data"]["object"]["id"] for each in missed]
    assert (await gateway.events.get(missed[0]["id"]))["pending_webhooks"] == 1
    assert len(await listed(gateway.events.each(type="customer.created"))) > 1
    assert len(await listed(gateway.webhook_endpoints.each())) == 1
    await gateway.webhook_endpoints.delete(endpoint["id"])
    # Usage of nobody is taken, and judged later.
    await gateway.meter_events.send(
        identifier="lost", event_name="tokens", customer="cus_none", value=1, at=datetime.now(UTC)
    )
    report = await gateway.events.get_thin(await business.thin_event())
    assert report["type"] == "v1.billing.meter.error_report_triggered"
    assert report["data"]["reason"]["error_types"][0]["code"] == "meter_event_customer_not_found"


async def refusals(business: Business) -> None:
    """Errors as Stripe words them."""
    gateway = business.gateway
    for missing in (
        gateway.customers.get("cus_none"),
        gateway.prices.get("price_none"),
        gateway.products.get("prod_none"),
        gateway.subscriptions.get("sub_none"),
        gateway.invoices.get("in_none"),
        gateway.coupons.get("none"),
    ):
        with pytest.raises(NotFoundError):
            await missing
    wrong: Any = {"unit_amount": -1, "currency": "usd", "product": "pro"}
    with pytest.raises(MeterstreamError):
        await gateway.prices.create("wrong", **wrong)
    with pytest.raises(MeterstreamError):
        await gateway.meters.create("taken", event_name="tokens", display_name="Again")


SCENES = (catalogue, customers, discounts, subscriptions, invoices, usage, pages, events, refusals)
