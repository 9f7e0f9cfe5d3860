"""Checkout, portal and invoices, used as a browser uses them: by GET and posted forms, without scripts."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.unit.devstack.stripe_simulator.simulator import Simulator

_NOTICE = "Simulation – no real card is charged"
_SUCCESS = "http://ours/done?session={CHECKOUT_SESSION_ID}"


async def _price(simulator: Simulator, amount: int = 1_000, interval: str = "month", **form: Any) -> dict[str, Any]:
    data = {"currency": "usd", "unit_amount": amount, "recurring[interval]": interval, **form}
    if "product" not in data:
        data["product_data[name]"] = "Gold <plan>"
    return await simulator.call("POST", "/v1/prices", data)


async def _session(simulator: Simulator, **form: Any) -> dict[str, Any]:
    data = {"mode": "subscription", "success_url": _SUCCESS, "cancel_url": "http://ours/back"}
    if form.get("mode") != "setup" and "line_items[0][price]" not in form:
        form = {"line_items[0][price]": (await _price(simulator))["id"], "line_items[0][quantity]": 2, **form}
    return await simulator.call("POST", "/v1/checkout/sessions", {**data, **form})


async def _post(simulator: Simulator, url: str, **form: str) -> httpx.Response:
    return await simulator.client.post(url, data=form)


async def test_a_card_that_pays_subscribes_and_comes_back(simulator: Simulator) -> None:
    session = await _session(simulator, client_reference_id="42", **{"metadata[a]": "b"})
    assert session["amount_total"] == 2_000
    page = await simulator.client.get(session["url"])
    assert page.status_code == 200
    for words in (_NOTICE, "$20.00", "$10.00 / month", "Gold &lt;plan&gt;", "4242", "http://ours/back"):
        assert words in page.text
    assert "<script" not in page.text
    done = await _post(simulator, session["url"], test_card="4242424242424242", email="jo@example.com", name="Jo")
    assert done.status_code == 303
    assert done.headers["location"] == f"http://ours/done?session={session['id']}"
    path = f"/v1/checkout/sessions/{session['id']}"
    after = await simulator.call("GET", path, {"expand[0]": "subscription", "expand[1]": "line_items"})
    assert (after["status"], after["payment_status"], after["url"]) == ("complete", "paid", None)
    assert after["subscription"]["status"] == "active"
    assert after["customer_details"]["email"] == "jo@example.com"
    assert after["line_items"]["data"][0]["amount_total"] == 2_000
    assert simulator.world.find("event", type="checkout.session.completed")[0]["data"]["object"]["metadata"] == {
        "a": "b"
    }
    again = await simulator.client.get(session["url"])
    assert "all done here" in again.text
    assert (await _post(simulator, session["url"], test_card="4242424242424242")).status_code == 200
    assert len(simulator.world.find("subscription")) == 1


async def test_a_typed_card_is_read_and_mistakes_are_shown(simulator: Simulator) -> None:
    session = await _session(simulator)
    card = {
        "action": "pay",
        "email": "jo@example.com",
        "number": "4242 4242 4242 4242",
        "expiry": "12 / 34",
        "cvc": "123",
    }
    for changes, message in (
        ({"number": "4242 4242 4242 4241"}, "Your card number is incorrect."),
        ({"expiry": "13/34"}, "expiration month is invalid"),
        ({"expiry": "nonsense"}, "Invalid integer"),
        ({"email": "nobody"}, "Invalid email address"),
    ):
        page = await _post(simulator, session["url"], **{**card, **changes})
        assert (page.status_code, message in page.text.replace("&#39;", "'")) == (402, True)
    assert (await _post(simulator, session["url"], **card)).status_code == 303


@pytest.mark.parametrize(
    ("number", "message"),
    [("4000000000000002", "Your card was declined."), ("4000000000000341", "Your card was declined.")],
)
async def test_a_card_that_is_declined_leaves_nothing(simulator: Simulator, number: str, message: str) -> None:
    session = await _session(simulator)
    page = await _post(simulator, session["url"], test_card=number, email="jo@example.com")
    assert (page.status_code, message in page.text) == (402, True)
    assert (await simulator.call("GET", f"/v1/checkout/sessions/{session['id']}"))["status"] == "open"
    for kind in ("subscription", "customer", "invoice"):
        assert simulator.world.find(kind) == []


async def test_a_card_that_asks_for_authentication(simulator: Simulator) -> None:
    session = await _session(simulator)
    sent = await _post(simulator, session["url"], test_card="4000000000003220", email="jo@example.com")
    step = sent.headers["location"]
    assert step == f"/c/pay/{session['id']}/authenticate"
    assert "$20.00" in (await simulator.client.get(step)).text
    failed = await _post(simulator, step, answer="fail")
    assert "unable to authenticate" in failed.text
    assert simulator.world.find("subscription") == []
    await _post(simulator, session["url"], test_card="4000000000003220", email="jo@example.com")
    assert (await _post(simulator, step, answer="complete")).status_code == 303
    (subscription,) = simulator.world.find("subscription")
    assert subscription["status"] == "active"
    # Renewals need no holder any more.
    simulator.time.seconds += 40 * 86_400
    await simulator.client.post("/_simulator/advance", json={"seconds": 7_200})
    assert [one["status"] for one in simulator.world.find("invoice")] == ["paid", "paid"]


async def test_a_card_that_asks_and_then_has_no_funds(simulator: Simulator) -> None:
    session = await _session(simulator)
    await _post(simulator, session["url"], test_card="4000008260003178", email="jo@example.com")
    page = await _post(simulator, f"/c/pay/{session['id']}/authenticate", answer="complete")
    assert "insufficient funds" in page.text


async def test_a_trial_costs_nothing_today(simulator: Simulator) -> None:
    form = {"subscription_data[trial_period_days]": 14, "payment_method_collection": "if_required"}
    session = await _session(simulator, **form)
    assert (session["amount_total"], session["payment_status"]) == (0, "unpaid")
    page = (await simulator.client.get(session["url"])).text
    assert "$0.00 today" in page
    assert "Card number" not in page
    assert (await _post(simulator, session["url"], action="pay", email="jo@example.com")).status_code == 303
    after = await simulator.call("GET", f"/v1/checkout/sessions/{session['id']}", {"expand[]": "subscription"})
    assert (after["payment_status"], after["subscription"]["status"]) == ("no_payment_required", "trialing")


async def test_a_promotion_code_is_typed_applied_and_taken_back(simulator: Simulator) -> None:
    await simulator.call("POST", "/v1/coupons", {"id": "C", "percent_off": 25})
    form = {"promotion[type]": "coupon", "promotion[coupon]": "C", "code": "LAUNCH"}
    await simulator.call("POST", "/v1/promotion_codes", form)
    session = await _session(simulator, allow_promotion_codes="true")
    wrong = await _post(simulator, session["url"], action="apply_code", code="NONE")
    assert "No such promotion code" in wrong.text
    applied = await _post(simulator, session["url"], action="apply_code", code="launch")
    assert "$15.00" in applied.text
    removed = await _post(simulator, session["url"], action="remove_code")
    assert "$15.00" not in removed.text
    await _post(simulator, session["url"], action="apply_code", code="LAUNCH")
    await _post(simulator, session["url"], test_card="4242424242424242", email="jo@example.com")
    after = await simulator.call("GET", f"/v1/checkout/sessions/{session['id']}", {"expand[]": "invoice"})
    assert (after["amount_subtotal"], after["amount_total"], after["invoice"]["total"]) == (2_000, 1_500, 1_500)
    assert simulator.world.get("coupon", "C")["times_redeemed"] == 1


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        ({"duration": "once"}, "today, then $20.00 every month"),
        ({"duration": "repeating", "duration_in_months": 3}, "every month for 3 months, then $20.00"),
        ({"duration": "forever"}, "every month"),
    ],
)
async def test_a_discount_goes_by_its_name_and_for_as_long_as_it_lasts(
    simulator: Simulator, duration: dict[str, Any], words: str
) -> None:
    await simulator.call("POST", "/v1/coupons", {"id": "C", "percent_off": 25, "name": "ONCE25", **duration})
    form = {"promotion[type]": "coupon", "promotion[coupon]": "C", "code": "ONCE25-1a2b3c4d"}
    code = await simulator.call("POST", "/v1/promotion_codes", form)
    session = await _session(simulator, **{"discounts[0][promotion_code]": code["id"]})
    page = (await simulator.client.get(session["url"])).text
    assert f'<p class="total">$15.00</p>\n<p class="soft">{words}</p>' in page
    assert "<dt>ONCE25</dt>" in page
    assert "1a2b3c4d" not in page


async def test_a_card_is_saved_by_a_session_in_setup_mode(simulator: Simulator) -> None:
    customer = (await simulator.call("POST", "/v1/customers", {"name": "Jo"}))["id"]
    session = await _session(simulator, mode="setup", customer=customer, currency="usd")
    assert "Save a card" in (await simulator.client.get(session["url"])).text
    sent = await _post(simulator, session["url"], test_card="4000000000003220")
    assert (await _post(simulator, sent.headers["location"], answer="complete")).status_code == 303
    after = await simulator.call("GET", f"/v1/checkout/sessions/{session['id']}", {"expand[]": "setup_intent"})
    assert (after["status"], after["setup_intent"]["status"]) == ("complete", "succeeded")
    assert len((await simulator.call("GET", f"/v1/customers/{customer}/payment_methods"))["data"]) == 1


async def test_a_session_expires_by_itself_or_when_told(simulator: Simulator) -> None:
    first, second = await _session(simulator), await _session(simulator)
    gone = await simulator.call("POST", f"/v1/checkout/sessions/{first['id']}/expire")
    assert gone["status"] == "expired"
    await simulator.call("POST", f"/v1/checkout/sessions/{first['id']}/expire", status=400)
    simulator.time.seconds += 86_400
    page = await simulator.client.get(second["url"])
    assert (page.status_code, "has expired" in page.text) == (410, True)
    assert len((await simulator.call("GET", "/v1/checkout/sessions", {"status": "expired"}))["data"]) == 2
    assert len(simulator.world.find("event", type="checkout.session.expired")) == 2


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"mode": "payment"}, "mode"),
        ({"success_url": ""}, "success_url"),
        ({"line_items[0][quantity]": 0}, "line_items[0][quantity]"),
        ({"line_items[0][price]": "price_none"}, "line_items[0][price]"),
        ({"customer": "cus_none"}, "customer"),
        ({"expires_at": 1}, "expires_at"),
        ({"discounts[0][coupon]": "none"}, "discounts[0][coupon]"),
        ({"currency": "eur"}, "line_items"),
        ({"payment_method_types[]": "sepa_debit"}, "payment_method_types"),
        ({"subscription_data[trial_period_days]": 0}, "trial_period_days"),
    ],
)
async def test_a_session_that_can_not_be_is_refused(simulator: Simulator, form: dict[str, Any], param: str) -> None:
    data = {
        "mode": "subscription",
        "success_url": _SUCCESS,
        "line_items[0][price]": (await _price(simulator))["id"],
        "line_items[0][quantity]": 1,
        **form,
    }
    error = (await simulator.call("POST", "/v1/checkout/sessions", data, status=400))["error"]
    assert error["param"] == param, error


async def test_pages_take_no_more_than_a_form(simulator: Simulator) -> None:
    session = await _session(simulator)
    assert (await _post(simulator, session["url"], code="x" * 30_000)).status_code == 402
    for url in ("/c/pay/cs_test_none", "/p/session/none", "/invoices/none", "/authenticate/none"):
        page = await simulator.client.get(url)
        assert (page.status_code, _NOTICE in page.text) == (404, True)


async def _portal(simulator: Simulator, **features: Any) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """Return a session, its customer and two prices, to the first of which the customer is subscribed."""
    month = await _price(simulator)
    year = await _price(simulator, 10_000, "year", product=month["product"])
    form = {
        "features[subscription_update][enabled]": "true",
        "features[subscription_update][default_allowed_updates][]": "price",
        "features[subscription_update][proration_behavior]": "always_invoice",
        "features[subscription_update][products][0][product]": month["product"],
        "features[subscription_update][products][0][prices][0]": month["id"],
        "features[subscription_update][products][0][prices][1]": year["id"],
        "features[subscription_cancel][enabled]": "true",
        "features[payment_method_update][enabled]": "true",
        "features[invoice_history][enabled]": "true",
        **features,
    }
    configuration = (await simulator.call("POST", "/v1/billing_portal/configurations", form))["id"]
    card = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}
    customer = (await simulator.call("POST", "/v1/customers", {"name": "Kim", **card}))["id"]
    await simulator.call("POST", "/v1/subscriptions", {"customer": customer, "items[0][price]": month["id"]})
    session = await simulator.call(
        "POST",
        "/v1/billing_portal/sessions",
        {"customer": customer, "configuration": configuration, "return_url": "http://ours/account"},
    )
    return session, customer, [month, year]


async def _act(simulator: Simulator, session: dict[str, Any], action: str, **form: str) -> str:
    """Do something in the portal and return the page that follows."""
    sent = await _post(simulator, session["url"], action=action, **form)
    assert sent.status_code == 303, re.findall(r'role="alert">([^<]*)', sent.text)
    return (await simulator.client.get(sent.headers["location"])).text


async def test_the_portal_shows_switches_cancels_and_renews(simulator: Simulator) -> None:
    session, _, (_, year) = await _portal(simulator)
    page = (await simulator.client.get(session["url"])).text
    for words in (_NOTICE, "Kim", "$10.00 / month", "Visa ···· 4242", "Default", "paid", "http://ours/account"):
        assert words in page
    (subscription,) = simulator.world.find("subscription")
    mine = {"subscription": subscription["id"]}
    assert "Ends on" in await _act(simulator, session, "cancel", **mine)
    assert subscription["cancel_at_period_end"] is True
    assert "Renews on" in await _act(simulator, session, "renew", **mine)
    assert subscription["cancel_at_period_end"] is False
    assert "$100.00 / year" in await _act(simulator, session, "switch", price=year["id"], **mine)
    assert subscription["items"]["data"][0]["price"]["id"] == year["id"]


async def test_a_switch_that_can_not_be_paid_changes_nothing(simulator: Simulator) -> None:
    session, _, (month, year) = await _portal(simulator)
    await _act(simulator, session, "add_card", test_card="4000000000000341")
    (subscription,) = simulator.world.find("subscription")
    simulator.time.seconds += 86_400 * 3
    session = await simulator.call(
        "POST",
        "/v1/billing_portal/sessions",
        {"customer": session["customer"], "configuration": session["configuration"]},
    )
    form = {"action": "switch", "subscription": subscription["id"], "price": year["id"]}
    page = await _post(simulator, session["url"], **form)
    assert (page.status_code, "declined" in page.text) == (400, True)
    assert subscription["items"]["data"][0]["price"]["id"] == month["id"]
    assert len(simulator.world.find("invoice")) == 1


async def test_cards_are_added_made_the_default_and_removed(simulator: Simulator) -> None:
    session, customer, _ = await _portal(simulator)
    (old,) = simulator.world.find("payment_method", customer=customer)
    sent = await _post(simulator, session["url"], test_card="4000000000003220")
    page = await _post(simulator, sent.headers["location"], answer="complete")
    assert page.headers["location"].startswith(session["url"])
    new = simulator.world.find("payment_method", customer=customer)[0]
    settings = simulator.world.get("customer", customer)["invoice_settings"]
    assert settings["default_payment_method"] == new["id"]
    assert "go by this card" in await _act(simulator, session, "default_card", payment_method=old["id"])
    await _act(simulator, session, "remove_card", payment_method=new["id"])
    assert simulator.world.find("payment_method", customer=customer) == [old]
    refused = await _post(simulator, session["url"], action="add_card", number="1", expiry="12/34", cvc="1")
    assert "number is incorrect" in refused.text


async def test_the_portal_offers_only_what_is_configured_and_the_customers_own(simulator: Simulator) -> None:
    session, _, (_, year) = await _portal(simulator)
    other, _, _ = await _portal(
        simulator,
        **{"features[subscription_cancel][enabled]": "false", "features[payment_method_update][enabled]": "false"},
    )
    theirs, mine = simulator.world.find("subscription")
    for form in (
        {"action": "cancel", "subscription": theirs["id"]},
        {"action": "switch", "subscription": theirs["id"], "price": year["id"]},
        {"action": "switch", "subscription": mine["id"], "price": "price_none"},
        {"action": "explode"},
    ):
        assert (await _post(simulator, session["url"], **form)).status_code == 400
    for form in ({"action": "cancel", "subscription": theirs["id"]}, {"test_card": "4242424242424242"}):
        assert (await _post(simulator, other["url"], **form)).status_code == 400
    assert "Add a card" not in (await simulator.client.get(other["url"])).text


async def test_a_portal_session_ends_and_can_lead_to_one_thing(simulator: Simulator) -> None:
    session, customer, _ = await _portal(simulator)
    (subscription,) = simulator.world.find("subscription")
    flow = await simulator.call(
        "POST",
        "/v1/billing_portal/sessions",
        {
            "customer": customer,
            "flow_data[type]": "subscription_cancel",
            "flow_data[subscription_cancel][subscription]": subscription["id"],
            "flow_data[after_completion][type]": "redirect",
            "flow_data[after_completion][redirect][return_url]": "http://ours/sad",
        },
    )
    page = (await simulator.client.get(flow["url"])).text
    assert "Cancel the subscription" in page
    assert "Invoices" not in page
    sent = await _post(simulator, flow["url"], action="cancel", subscription=subscription["id"])
    assert sent.headers["location"] == "http://ours/sad"
    simulator.time.seconds += 3_600
    assert (await simulator.client.get(session["url"])).status_code == 410
    listed = await simulator.call("GET", "/v1/billing_portal/configurations", {"is_default": "true"})
    path = f"/v1/billing_portal/configurations/{listed['data'][0]['id']}"
    changed = await simulator.call("POST", path, {"business_profile[headline]": "Ours"})
    assert changed["business_profile"]["headline"] == "Ours"
    assert (await simulator.call("GET", path))["features"]["subscription_cancel"]["enabled"] is True


async def test_an_open_invoice_is_paid_on_its_page(simulator: Simulator) -> None:
    customer = (await simulator.call("POST", "/v1/customers", {"name": "Kim"}))["id"]
    form = {"customer": customer, "items[0][price]": (await _price(simulator))["id"]}
    subscription = await simulator.call(
        "POST", "/v1/subscriptions", {**form, "payment_behavior": "default_incomplete", "expand[]": "latest_invoice"}
    )
    url = subscription["latest_invoice"]["hosted_invoice_url"]
    page = (await simulator.client.get(url)).text
    for words in (_NOTICE, "$10.00", "open", "Gold &lt;plan&gt;"):
        assert words in page
    assert "declined" in (await _post(simulator, url, test_card="4000000000000002")).text
    asked = await _post(simulator, url, test_card="4000000000003220")
    assert "unable to authenticate" in (await _post(simulator, asked.headers["location"], answer="fail")).text
    assert (await _post(simulator, asked.headers["location"], answer="complete")).status_code == 303
    after = await simulator.call("GET", f"/v1/subscriptions/{subscription['id']}", {"expand[]": "latest_invoice"})
    assert (after["status"], after["latest_invoice"]["status"]) == ("active", "paid")
    printed = await simulator.client.get(subscription["latest_invoice"]["invoice_pdf"])
    assert "paid" in printed.text
