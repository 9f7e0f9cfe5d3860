"""Customers, cards, products, prices, coupons: what they take, and what they refuse by name."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.cards import CARDS
from tests.unit.devstack.stripe_simulator.simulator import NOW, Simulator

Form = dict[str, Any]


async def _customer(simulator: Simulator, **form: Any) -> str:
    return str((await simulator.call("POST", "/v1/customers", form))["id"])


async def _product(simulator: Simulator, **form: Any) -> str:
    return str((await simulator.call("POST", "/v1/products", {"name": "Gold", **form}))["id"])


async def _refused(simulator: Simulator, path: str, form: Form, param: str) -> dict[str, Any]:
    error: dict[str, Any] = (await simulator.call("POST", path, form, status=400))["error"]
    assert error["param"] == param, error
    return error


async def test_a_customer_is_created_changed_and_found(simulator: Simulator) -> None:
    address = {"address[city]": "Oslo", "address[country]": "NO"}
    form = {"email": "a@example.com", "name": "Ada", "metadata[plan]": "gold", "tax_exempt": "exempt", **address}
    customer = await _customer(simulator, **form, **{"preferred_locales[]": "nb", "tax[ip_address]": "192.0.2.1"})
    await _customer(simulator, email="b@example.com")
    page = await simulator.call("GET", "/v1/customers", {"email": "a@example.com"})
    assert [one["id"] for one in page["data"]] == [customer]
    changed = await simulator.call(
        "POST",
        f"/v1/customers/{customer}",
        {"name": "", "metadata[plan]": "", "metadata[seats]": 3, "address[city]": "Bergen", "balance": -500},
    )
    assert (changed["name"], changed["metadata"], changed["balance"]) == (None, {"seats": "3"}, -500)
    assert (changed["address"]["city"], changed["address"]["country"]) == ("Bergen", "NO")
    shown = await simulator.call("GET", f"/v1/customers/{customer}", {"expand[]": "tax"})
    assert shown["tax"]["ip_address"] == "192.0.2.1"
    updated = simulator.world.find("event", type="customer.updated")[0]
    assert updated["data"]["previous_attributes"]["metadata"] == {"plan": "gold", "seats": None}


async def test_tax_ids_are_judged_kept_and_shown(simulator: Simulator) -> None:
    sent = {"tax_id_data[0][type]": "eu_vat", "tax_id_data[0][value]": "DE123456789", "tax_id_data[1][type]": "us_ein"}
    customer = await _customer(simulator, **sent, **{"tax_id_data[1][value]": "12-3456789"})
    path = f"/v1/customers/{customer}/tax_ids"
    vat, ein = (await simulator.call("GET", path))["data"][::-1]
    assert (vat["type"], vat["country"], vat["verification"]["status"]) == ("eu_vat", "DE", "pending")
    assert (ein["type"], ein["country"], ein["verification"]["status"]) == ("us_ein", "US", "unavailable")
    await simulator.call("POST", path, {"type": "gb_vat", "value": "111111111"})
    (updated,) = simulator.world.find("event", type="customer.tax_id.updated")
    assert updated["data"]["object"]["verification"]["status"] == "unverified"
    assert updated["data"]["previous_attributes"] == {"verification": {"status": "pending"}}
    error = await _refused(simulator, path, {"type": "eu_vat", "value": "DE1"}, "value")
    assert error["code"] == "tax_id_invalid"
    wrong = {"tax_id_data[0][type]": "eu_vat", "tax_id_data[0][value]": "XX123456789"}
    await _refused(simulator, "/v1/customers", wrong, "tax_id_data[0][value]")
    await _refused(simulator, path, {"type": "xx_vat", "value": "1"}, "type")
    await _refused(simulator, f"/v1/customers/{customer}", sent, "tax_id_data")

    other = await _customer(simulator)
    await simulator.call("GET", f"/v1/customers/{other}/tax_ids/{vat['id']}", status=404)
    assert (await simulator.call("DELETE", f"{path}/{vat['id']}"))["deleted"] is True
    await simulator.call("DELETE", f"{path}/{vat['id']}", status=404)
    kinds = [event["type"] for event in simulator.world.find("event") if event["type"].startswith("customer.tax_id.")]
    assert kinds[::-1] == [
        f"customer.tax_id.{what}" for what in ("created", "created", "created", "updated", "deleted")
    ]
    await simulator.call("DELETE", f"/v1/customers/{customer}")
    assert simulator.world.find("tax_id") == []


async def test_wrong_customers_are_refused(simulator: Simulator) -> None:
    error = await _refused(simulator, "/v1/customers", {"email": "nobody"}, "email")
    assert error["code"] == "email_invalid"
    await _refused(simulator, "/v1/customers", {"tax_exempt": "maybe"}, "tax_exempt")
    await _refused(simulator, "/v1/customers", {"test_clock": "clock_none"}, "test_clock")
    form = {"invoice_settings[default_payment_method]": "pm_none"}
    await _refused(simulator, "/v1/customers", form, "invoice_settings[default_payment_method]")


async def test_a_card_is_attached_made_the_default_and_detached(simulator: Simulator) -> None:
    customer = await _customer(simulator)
    card = {"card[number]": "4242 4242 4242 4242", "card[exp_month]": 12, "card[exp_year]": 2034, "card[cvc]": "123"}
    method = (await simulator.call("POST", "/v1/payment_methods", {"type": "card", **card}))["id"]
    attached = await simulator.call("POST", f"/v1/payment_methods/{method}/attach", {"customer": customer})
    assert (attached["customer"], attached["card"]["last4"]) == (customer, "4242")
    form = {"invoice_settings[default_payment_method]": method}
    await simulator.call("POST", f"/v1/customers/{customer}", form)
    path = f"/v1/customers/{customer}/payment_methods"
    assert [one["id"] for one in (await simulator.call("GET", path))["data"]] == [method]
    assert (await simulator.call("GET", f"{path}/{method}"))["id"] == method
    listed = await simulator.call("GET", "/v1/payment_methods", {"customer": customer, "type": "card"})
    assert len(listed["data"]) == 1
    await simulator.call("POST", f"/v1/payment_methods/{method}", {"card[exp_year]": 2035, "metadata[a]": "b"})
    await simulator.call("POST", f"/v1/payment_methods/{method}/detach")
    shown = await simulator.call("GET", f"/v1/customers/{customer}")
    assert shown["invoice_settings"]["default_payment_method"] is None
    types = [event["type"] for event in simulator.world.find("event")]
    assert types[:2] == ["customer.updated", "payment_method.detached"]
    await simulator.call("POST", f"/v1/payment_methods/{method}/attach", {"customer": customer}, status=400)
    await simulator.call("POST", f"/v1/payment_methods/{method}/detach", status=400)


async def test_a_card_belongs_to_one_customer(simulator: Simulator) -> None:
    first, second = await _customer(simulator), await _customer(simulator)
    path = "/v1/payment_methods/pm_card_visa/attach"
    method = (await simulator.call("POST", path, {"customer": first}))["id"]
    error = (await simulator.call("POST", f"/v1/payment_methods/{method}/attach", {"customer": second}, status=400))[
        "error"
    ]
    assert "already been attached" in error["message"]
    await simulator.call("GET", f"/v1/customers/{second}/payment_methods/{method}", status=404)
    other = (await simulator.call("POST", path, {"customer": second}))["id"]
    assert other != method


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
async def test_every_test_card_does_what_it_is_for(simulator: Simulator, card: Any) -> None:
    customer = await _customer(simulator)
    path, form = f"/v1/payment_methods/pm_card_{card.name}/attach", {"customer": customer}
    if card.attaches:
        assert (await simulator.call("POST", path, form))["card"]["last4"] == card.number[-4:]
    else:
        error = (await simulator.call("POST", path, form, status=402))["error"]
        assert (error["type"], error["code"]) == ("card_error", card.declines.code)
        assert error["decline_code"] == card.declines.decline_code
    form = {"customer": customer, "payment_method": f"pm_card_{card.name}", "confirm": "true"}
    status = 200 if card.attaches else 402
    answer = await simulator.call("POST", "/v1/setup_intents", form, status=status)
    if card.attaches:
        asks = card.authentication in ("once", "always")
        assert answer["status"] == ("requires_action" if asks else "succeeded")
    else:
        assert answer["error"]["setup_intent"]["status"] == "requires_payment_method"
        assert answer["error"]["setup_intent"]["last_setup_error"]["code"] == card.declines.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"card[number]": "4242424242424241"}, "incorrect_number"),
        ({"card[number]": "4111111111111111"}, "card_declined"),
        ({"card[exp_month]": 13}, "invalid_expiry_month"),
        ({"card[exp_year]": 2020}, "invalid_expiry_year"),
        ({"card[cvc]": "1"}, "invalid_cvc"),
    ],
)
async def test_a_card_that_can_not_be_is_refused(simulator: Simulator, changes: Form, code: str) -> None:
    card = {"card[number]": "4242424242424242", "card[exp_month]": 12, "card[exp_year]": 2034, "card[cvc]": "123"}
    form = {"type": "card", **card, **changes}
    error = (await simulator.call("POST", "/v1/payment_methods", form, status=402))["error"]
    assert error["code"] == code


async def test_a_setup_intent_waits_is_confirmed_and_canceled(simulator: Simulator) -> None:
    customer = await _customer(simulator)
    intent = await simulator.call("POST", "/v1/setup_intents", {"customer": customer, "metadata[a]": "b"})
    assert intent["status"] == "requires_payment_method"
    path = f"/v1/setup_intents/{intent['id']}"
    await simulator.call("POST", f"{path}/confirm", status=400)
    confirmed = await simulator.call("POST", f"{path}/confirm", {"payment_method": "pm_card_visa"})
    assert confirmed["status"] == "succeeded"
    page = await simulator.call("GET", f"/v1/customers/{customer}/payment_methods")
    assert [one["id"] for one in page["data"]] == [confirmed["payment_method"]]
    await simulator.call("POST", f"{path}/cancel", status=400)
    other = (await simulator.call("POST", "/v1/setup_intents", {"customer": customer}))["id"]
    gone = await simulator.call("POST", f"/v1/setup_intents/{other}/cancel", {"cancellation_reason": "abandoned"})
    assert (gone["status"], gone["cancellation_reason"]) == ("canceled", "abandoned")
    listed = await simulator.call("GET", "/v1/setup_intents", {"customer": customer})
    assert len(listed["data"]) == 2


async def test_authentication_sets_a_card_up_or_fails(simulator: Simulator) -> None:
    customer = await _customer(simulator)
    for answer, status, outcome in (
        ("complete", "succeeded", "succeeded"),
        ("fail", "requires_payment_method", "failed"),
    ):
        form = {
            "customer": customer,
            "payment_method": "pm_card_threeDSecure2Required",
            "confirm": "true",
            "return_url": "http://ours/back?a=1",
        }
        intent = await simulator.call("POST", "/v1/setup_intents", form)
        url = intent["next_action"]["redirect_to_url"]["url"]
        page = await simulator.client.get(url)
        assert "Simulation – no real card is charged" in page.text
        gone = await simulator.client.post(url, data={"answer": answer})
        assert gone.headers["location"].startswith("http://ours/back?a=1&setup_intent=seti_")
        assert f"redirect_status={outcome}" in gone.headers["location"]
        shown = await simulator.call("GET", f"/v1/setup_intents/{intent['id']}")
        assert shown["status"] == status
        assert (await simulator.client.get(url)).status_code == 404


async def test_a_product_has_prices_in_every_form(simulator: Simulator) -> None:
    product = await _product(simulator, id="prod_gold", **{"marketing_features[0][name]": "Fast", "metadata[a]": "b"})
    base = {"product": product, "currency": "usd", "recurring[interval]": "month"}
    flat = await simulator.call("POST", "/v1/prices", {**base, "unit_amount": 1000, "lookup_key": "gold"})
    assert (flat["currency"], flat["unit_amount_decimal"], flat["type"]) == ("usd", "1000", "recurring")
    exact = await simulator.call("POST", "/v1/prices", {**base, "unit_amount_decimal": "0.1250"})
    assert (exact["unit_amount"], exact["unit_amount_decimal"]) == (None, "0.125")
    tiers = {"tiers[0][up_to]": 10, "tiers[0][unit_amount]": 100, "tiers[1][up_to]": "inf", "tiers[1][flat_amount]": 5}
    tiered = {**base, "billing_scheme": "tiered", "tiers_mode": "volume", **tiers}
    hidden = await simulator.call("POST", "/v1/prices", tiered)
    assert "tiers" not in hidden
    shown = await simulator.call("GET", f"/v1/prices/{hidden['id']}", {"expand[]": "tiers"})
    assert [tier["up_to"] for tier in shown["tiers"]] == [10, None]
    packages = {**base, "unit_amount": 5, "transform_quantity[divide_by]": 10, "transform_quantity[round]": "up"}
    assert (await simulator.call("POST", "/v1/prices", packages))["transform_quantity"]["divide_by"] == 10
    several = {**base, "unit_amount": 5, "currency_options[eur][unit_amount]": 4, "expand[]": "currency_options"}
    options = (await simulator.call("POST", "/v1/prices", several))["currency_options"]
    assert {currency: option["unit_amount"] for currency, option in options.items()} == {"usd": 5, "eur": 4}
    once = await simulator.call("POST", "/v1/prices", {"product": product, "currency": "jpy", "unit_amount": 5})
    assert once["type"] == "one_time"
    found = await simulator.call("GET", "/v1/prices", {"lookup_keys[]": "gold", "expand[]": "data.product"})
    assert [price["product"]["id"] for price in found["data"]] == ["prod_gold"]
    recurring = await simulator.call("GET", "/v1/prices", {"recurring[interval]": "month", "limit": 100})
    assert len(recurring["data"]) == 5


_FLAT = {"currency": "usd", "unit_amount": 1, "recurring[interval]": "month"}
_TIERED = {
    "currency": "usd",
    "billing_scheme": "tiered",
    "tiers_mode": "graduated",
    "recurring[interval]": "month",
    "tiers[0][up_to]": 10,
    "tiers[0][unit_amount]": 1,
    "tiers[1][up_to]": "inf",
    "tiers[1][unit_amount]": 1,
}


@pytest.mark.parametrize(
    ("base", "changes", "param"),
    [
        (_FLAT, {"currency": "xyz"}, "currency"),
        (_FLAT, {"unit_amount": -1}, "unit_amount"),
        (_FLAT, {"unit_amount": "1.5"}, "unit_amount"),
        (_FLAT, {"unit_amount_decimal": "1"}, "unit_amount"),
        (_FLAT, {"unit_amount": None}, "unit_amount"),
        (_FLAT, {"recurring[interval]": "decade"}, "recurring[interval]"),
        (_FLAT, {"recurring[interval_count]": 37}, "recurring[interval_count]"),
        (_FLAT, {"recurring[usage_type]": "metered"}, "recurring[meter]"),
        (_FLAT, {"recurring[meter]": "mtr_1"}, "recurring[meter]"),
        (_FLAT, {"tiers_mode": "volume"}, "tiers_mode"),
        (_FLAT, {"tiers[0][up_to]": "inf"}, "tiers"),
        (_FLAT, {"transform_quantity[divide_by]": 10}, "transform_quantity[round]"),
        (_FLAT, {"product": "prod_none"}, "product"),
        (_FLAT, {"product": None}, "product"),
        (_FLAT, {"currency_options[usd][unit_amount]": 1}, "currency_options"),
        (_FLAT, {"currency_options[eur][unit_amount]": -1}, "currency_options[eur][unit_amount]"),
        (_TIERED, {"tiers_mode": None}, "tiers_mode"),
        (_TIERED, {"unit_amount": 1}, "unit_amount"),
        (_TIERED, {"tiers[1][up_to]": 20}, "tiers[1][up_to]"),
        (_TIERED, {"tiers[0][up_to]": "inf"}, "tiers[0][up_to]"),
        (_TIERED, {"tiers[0][unit_amount]": None}, "tiers[0][unit_amount]"),
        (_TIERED, {"tiers[0][unit_amount_decimal]": "1"}, "tiers[0][unit_amount]"),
        (_TIERED, {"tiers[2][up_to]": "inf", "tiers[1][up_to]": 10, "tiers[2][flat_amount]": 1}, "tiers[1][up_to]"),
        (_TIERED, {"transform_quantity[divide_by]": 2, "transform_quantity[round]": "up"}, "transform_quantity"),
    ],
)
async def test_a_price_that_can_not_be_is_refused(simulator: Simulator, base: Form, changes: Form, param: str) -> None:
    form = {"product": await _product(simulator), **base, **changes}
    await _refused(simulator, "/v1/prices", {name: value for name, value in form.items() if value is not None}, param)


async def test_a_lookup_key_is_one_prices_until_it_is_transferred(simulator: Simulator) -> None:
    form = {"product": await _product(simulator), **_FLAT, "lookup_key": "gold"}
    first = (await simulator.call("POST", "/v1/prices", form))["id"]
    await _refused(simulator, "/v1/prices", form, "lookup_key")
    second = await simulator.call("POST", "/v1/prices", {**form, "transfer_lookup_key": "true"})
    assert second["lookup_key"] == "gold"
    assert (await simulator.call("GET", f"/v1/prices/{first}"))["lookup_key"] is None
    archived = await simulator.call("POST", f"/v1/prices/{first}", {"active": "false", "nickname": "old"})
    assert archived["active"] is False


async def test_a_product_keeps_its_default_price_and_is_deleted_without_any(simulator: Simulator) -> None:
    form = {"name": "Gold", "default_price_data[currency]": "usd", "default_price_data[unit_amount]": 5}
    product = await simulator.call("POST", "/v1/products", {**form, "default_price_data[recurring][interval]": "month"})
    await simulator.call("POST", f"/v1/prices/{product['default_price']}", {"active": "false"}, status=400)
    await simulator.call("DELETE", f"/v1/products/{product['id']}", status=400)
    empty = await _product(simulator, id="other")
    await _refused(simulator, "/v1/products", {"name": "x", "id": "other"}, "id")
    changed = await simulator.call(
        "POST", f"/v1/products/{empty}", {"name": "Silver", "description": "", "active": "false"}
    )
    assert (changed["name"], changed["active"]) == ("Silver", False)
    page = await simulator.call("GET", "/v1/products", {"active": "true"})
    assert [one["id"] for one in page["data"]] == [product["id"]]
    assert (await simulator.call("DELETE", f"/v1/products/{empty}"))["deleted"] is True


async def test_coupons_and_their_codes(simulator: Simulator) -> None:
    product = await _product(simulator)
    form = {"id": "TWENTY", "percent_off": "12.5", "duration": "repeating", "duration_in_months": 3}
    coupon = await simulator.call("POST", "/v1/coupons", {**form, "applies_to[products][]": product})
    assert (coupon["percent_off"], coupon["valid"]) == (12.5, True)
    shown = await simulator.call("GET", "/v1/coupons/TWENTY", {"expand[]": "applies_to"})
    assert shown["applies_to"] == {"products": [product]}
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": "TWENTY"}
    code = await simulator.call(
        "POST", "/v1/promotion_codes", {**promotion, "code": "Launch", "expand[]": "promotion.coupon"}
    )
    assert code["promotion"]["coupon"]["id"] == "TWENTY"
    await _refused(simulator, "/v1/promotion_codes", {**promotion, "code": "LAUNCH"}, "code")
    page = await simulator.call("GET", "/v1/promotion_codes", {"code": "launch", "coupon": "TWENTY"})
    assert len(page["data"]) == 1
    off = await simulator.call("POST", f"/v1/promotion_codes/{code['id']}", {"active": "false"})
    assert off["active"] is False
    await simulator.call("POST", "/v1/coupons/TWENTY", {"name": "Twenty"})
    assert (await simulator.call("DELETE", "/v1/coupons/TWENTY"))["deleted"] is True


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 10, "amount_off": 5}, "percent_off"),
        ({"percent_off": 101}, "percent_off"),
        ({"percent_off": 0}, "percent_off"),
        ({"amount_off": 5}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "duration_in_months": 2}, "duration_in_months"),
        ({"percent_off": 10, "redeem_by": NOW}, "redeem_by"),
        ({"percent_off": 10, "applies_to[products][]": "prod_none"}, "applies_to[products]"),
    ],
)
async def test_a_coupon_that_can_not_be_is_refused(simulator: Simulator, form: Form, param: str) -> None:
    await _refused(simulator, "/v1/coupons", form, param)


async def test_events_are_listed_by_kind_and_forgotten_after_a_month(simulator: Simulator) -> None:
    customer = await _customer(simulator)
    await simulator.call("POST", f"/v1/customers/{customer}", {"name": "x"})
    await _product(simulator)
    for form, count in (
        ({"type": "customer.*"}, 2),
        ({"type": "customer.updated"}, 1),
        ({"types[0]": "product.created", "types[1]": "customer.created"}, 2),
        ({"delivery_success": "true"}, 3),
    ):
        assert len((await simulator.call("GET", "/v1/events", form))["data"]) == count
    event = (await simulator.call("GET", "/v1/events"))["data"][0]
    assert await simulator.call("GET", f"/v1/events/{event['id']}") == event
    simulator.time.seconds += 31 * 86_400
    assert (await simulator.call("GET", "/v1/events"))["data"] == []


async def test_a_deleted_customer_takes_everything_along_and_time_goes_on(simulator: Simulator) -> None:
    customer = await _customer(
        simulator, payment_method="pm_card_visa", **{"invoice_settings[default_payment_method]": "pm_card_visa"}
    )
    price = await simulator.call("POST", "/v1/prices", {"product": await _product(simulator), **_FLAT})
    form = {"customer": customer, "items[0][price]": price["id"]}
    subscription = (await simulator.call("POST", "/v1/subscriptions", form))["id"]
    await simulator.call("POST", "/v1/subscription_schedules", {"from_subscription": subscription})
    await simulator.call("POST", "/v1/invoiceitems", {"customer": customer, "amount": 5, "currency": "usd"})
    # The renewal's draft is there.
    await simulator.client.post("/_simulator/advance", json={"seconds": 30 * 86_400 + 600})
    assert [one["status"] for one in simulator.world.find("invoice")] == ["draft", "paid"]
    await simulator.call("DELETE", f"/v1/customers/{customer}")
    ended = await simulator.call("GET", f"/v1/subscriptions/{subscription}", {"expand[]": "customer"})
    assert (ended["status"], ended["customer"]["deleted"]) == ("canceled", True)
    await simulator.client.post("/_simulator/advance", json={"seconds": 62 * 86_400})
    (invoice,) = simulator.world.find("invoice")
    assert simulator.world.find("invoiceitem") == []
    assert (await simulator.client.get(f"/invoices/{invoice['id']}")).status_code == 200


async def test_v2_errors_have_their_own_form(simulator: Simulator) -> None:
    error = (await simulator.call("GET", "/v2/core/events/evt_none", status=404))["error"]
    assert error["code"] == "not_found"
