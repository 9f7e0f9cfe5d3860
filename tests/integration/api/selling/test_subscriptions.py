"""Subscriptions are begun, listed and shown, and what cannot be sold is refused with a code of its own."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sinks.postgres.access import API_ROLE, Access, PostgresAccess
from sinks.postgres.leases import lease
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import (
    HANGS_S,
    SEATS,
    SOLO,
    act,
    at_stripe,
    customer_with,
    keyed,
    repeated,
    subscribe,
    writes_at_stripe,
)

pytestmark = pytest.mark.integration


def test_a_subscription_is_paid_and_known_at_once(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=3, reason="Asked by phone")
    assert (made["status"], made["quantity"], made["interval"], made["mrr_minor"]) == ("active", 3, "month", 3600)
    assert (made["plan"]["slug"], made["plan"]["version"], made["currency"]) == ("seats", 1, "usd")
    assert shop.client.get(f"/api/v1/subscriptions/{made['id']}").json() == made
    assert at_stripe(shop, made)["items"]["data"][0]["quantity"] == 3
    invoices = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    assert [(invoice["status"], invoice["total_minor"]) for invoice in invoices] == [("paid", 3600)]
    (line,) = shop.client.get(f"/api/v1/subscriptions/{made['id']}/changes").json()["data"]
    assert (line["kind"], line["reason"], line["mrr_delta_minor"]) == ("created", "Asked by phone", 3600)
    assert line["actor"].startswith("key ms_")
    assert line["from"] is None
    assert line["to"]["quantity"] == 3


def test_a_declined_card_leaves_nothing(shop: Shop) -> None:
    shop.sell(**SOLO)
    customer = customer_with(shop, "pm_card_chargeCustomerFail")
    body = {"customer_id": customer, "plan": "solo", "interval": "month"}
    headers = keyed()
    for _ in range(2):
        refused = shop.client.post("/api/v1/subscriptions", json=body, headers=headers)
        assert error_of(refused) == (422, "PAYMENT_FAILED")
        assert refused.json()["error"]["details"]["decline_code"] == "generic_decline"
    owner = shop.client.get(f"/api/v1/customers/{customer}").json()["stripe_customer_id"]
    for kind in ("subscription", "invoice"):
        assert [each for each in shop.stripe.objects(kind) if each["customer"] == owner] == []
    assert shop.client.get("/api/v1/subscriptions", params={"customer_id": customer}).json()["data"] == []


def test_who_left_nothing_to_charge_is_told_so(shop: Shop) -> None:
    shop.sell(**SOLO)
    body = {"customer_id": customer_with(shop, None), "plan": "solo", "interval": "month"}
    assert error_of(shop.client.post("/api/v1/subscriptions", json=body)) == (422, "PAYMENT_METHOD_REQUIRED")


def test_a_payment_that_the_customer_must_confirm_says_where(shop: Shop) -> None:
    shop.sell(**SOLO)
    customer = customer_with(shop, "pm_card_authenticationRequired")
    refused = shop.client.post(
        "/api/v1/subscriptions", json={"customer_id": customer, "plan": "solo", "interval": "month"}
    )
    assert error_of(refused) == (422, "AUTHENTICATION_REQUIRED")
    assert "POST /checkout" in refused.json()["error"]["message"]


def test_a_customer_pays_in_one_currency(shop: Shop) -> None:
    shop.sell(**SOLO)
    shop.sell(**{**SOLO, "slug": "duo", "prices": [{**SOLO["prices"][0], "slug": "duo-month"}]})
    made = subscribe(shop, "solo")
    body = {"customer_id": made["customer_id"], "plan": "duo", "currency": "eur"}
    for refused in (shop.client.post("/api/v1/subscriptions", json=body), shop.checkout(**body)):
        assert error_of(refused) == (422, "CUSTOMER_CURRENCY")
        assert refused.json()["error"]["details"]["customer_currency"] == "usd"
    act(shop, made, "cancel", {"at": "now"})
    assert shop.client.post("/api/v1/subscriptions", json=body).json()["currency"] == "eur"


def test_the_last_use_of_a_code_may_be_anothers(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = shop.client.post("/api/v1/discount-codes", json={"code": "LAST", "percent_off": "20"}).json()
    # As if it happened between our look at the code and the purchase.
    path = f"/v1/promotion_codes/{made['stripe_promotion_code_id']}"
    shop.stripe.control.post(path, data={"active": "false"}).raise_for_status()
    body = {"customer_id": customer_with(shop), "plan": "solo", "interval": "month", "discount_code": "LAST"}
    for refused in (shop.client.post("/api/v1/subscriptions", json=body), shop.checkout(**body)):
        assert error_of(refused) == (422, "DISCOUNT_CODE_EXHAUSTED")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"plan": "none"}, (404, "PLAN_NOT_FOUND")),
        ({"plan": "old"}, (422, "PLAN_ARCHIVED")),
        ({"plan": "soon"}, (422, "PLAN_NOT_ACTIVE")),
        ({"currency": "jpy"}, (422, "CURRENCY_NOT_OFFERED")),
        ({"interval": "week"}, (422, "INTERVAL_NOT_OFFERED")),
        ({"quantity": 0}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({"quantity": 10**9}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({"quantity": 2}, (422, "QUANTITY_NOT_OFFERED")),
        ({"quantity": "2"}, (400, "SCHEMA_VALIDATION")),
        ({"quantity": 1.5}, (400, "SCHEMA_VALIDATION")),
        ({"discount_code": "NONE"}, (404, "DISCOUNT_CODE_UNKNOWN")),
        ({"customer_id": str(uuid.uuid4())}, (404, "CUSTOMER_NOT_FOUND")),
        ({"trial_days": 731}, (400, "SCHEMA_VALIDATION")),
        ({"colour": "red"}, (400, "SCHEMA_VALIDATION")),
    ],
)
def test_what_cannot_be_sold_is_refused_before_stripe_is_asked(
    shop: Shop, change: dict[str, Any], refusal: tuple[int, str]
) -> None:
    shop.sell(**SOLO)
    if change.get("plan") == "old":
        shop.sell(**{**SEATS, "slug": "old"})
        shop.client.delete("/api/v1/plans/old").raise_for_status()
    if change.get("plan") == "soon":
        shop.client.post("/api/v1/plans", json={**SEATS, "slug": "soon"}).raise_for_status()
    body = {"customer_id": customer_with(shop), "plan": "solo", "interval": "month", **change}
    before = len(shop.stripe.calls())
    refused = shop.client.post("/api/v1/subscriptions", json=body)
    assert error_of(refused) == refusal
    assert len(shop.stripe.calls()) == before


def test_a_product_is_subscribed_to_once(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    body = {"customer_id": made["customer_id"], "plan": "solo", "interval": "year"}
    refused = shop.client.post("/api/v1/subscriptions", json=body)
    assert error_of(refused) == (409, "ALREADY_SUBSCRIBED")
    assert made["id"] in refused.json()["error"]["message"]
    act(shop, made, "cancel", {"at": "now"})
    assert shop.client.post("/api/v1/subscriptions", json=body).status_code == 201


def test_of_two_requests_at_once_one_subscribes(shop: Shop) -> None:
    """Without an Idempotency-Key, and so with nothing else that tells that they are the same."""
    shop.sell(**SOLO)
    customer = customer_with(shop)
    body = {"customer_id": customer, "plan": "solo", "interval": "month"}
    shop.stripe.break_things({"kind": "latency", "path": "/v1/subscriptions", "method": "POST", "seconds": 0.2})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: shop.client.post("/api/v1/subscriptions", json=body), range(4)))
    (made,) = [answer.json() for answer in answers if answer.status_code == 201]
    losers = [answer for answer in answers if answer.status_code != 201]
    # Who comes when the first is answered is told what there is.
    assert {error_of(answer) for answer in losers} <= {(409, "CUSTOMER_BUSY"), (409, "ALREADY_SUBSCRIBED")}
    owner = at_stripe(shop, made)["customer"]
    assert [each["id"] for each in shop.stripe.objects("subscription") if each["customer"] == owner] == [
        made["stripe_subscription_id"]
    ]
    assert len([each for each in shop.stripe.objects("invoice") if each["customer"] == owner]) == 1
    assert shop.client.get("/api/v1/subscriptions", params={"customer_id": customer}).json()["data"] == [made]


async def test_who_is_being_subscribed_is_busy(shop: Shop) -> None:
    """And the same request again, once that is over, subscribes them under its key."""
    shop.sell(**SOLO)
    customer = customer_with(shop)
    (organization,) = shop.service.sql("select organization_id from customers where id = %s", customer)[0]
    body, headers = {"customer_id": customer, "plan": "solo", "interval": "month"}, keyed()
    postgres = PostgresAccess(shop.service.settings.postgres, service="test", role=API_ROLE)
    await postgres.open()
    try:
        async with lease(postgres, Access(organization_id=str(organization)), "customer", customer, "key ms_1…"):
            refused = shop.client.post("/api/v1/subscriptions", json=body, headers=headers)
            assert error_of(refused) == error_of(shop.checkout(customer_id=customer, plan="solo", interval="month"))
            assert error_of(refused) == (409, "CUSTOMER_BUSY")
            assert refused.headers["Retry-After"] == "1"
    finally:
        await postgres.close()
    assert shop.client.post("/api/v1/subscriptions", json=body, headers=headers).status_code == 201


def test_a_checkout_page_is_closed_by_a_subscription_and_counts_where_it_was_paid(shop: Shop) -> None:
    shop.sell(**SOLO)
    left, paid = customer_with(shop), customer_with(shop)
    pages = {each: shop.checkout(customer_id=each, plan="solo", interval="month").json() for each in (left, paid)}
    shop.pay(pages[paid]["url"])
    subscribe(shop, "solo", customer=left)
    assert shop.client.get(f"/api/v1/checkout/{pages[left]['id']}").json()["status"] == "expired"
    refused = shop.client.post("/api/v1/subscriptions", json={"customer_id": paid, "plan": "solo", "interval": "month"})
    assert error_of(refused) == (409, "ALREADY_SUBSCRIBED")


def test_a_lost_answer_is_found_out_by_who_repeats_without_a_key(shop: Shop) -> None:
    shop.sell(**SOLO)
    body = {"customer_id": customer_with(shop), "plan": "solo", "interval": "month"}
    shop.stripe.break_things({"kind": "hang_after", "path": "/v1/subscriptions", "method": "POST", "seconds": HANGS_S})
    assert shop.client.post("/api/v1/subscriptions", json=body).status_code == 503
    shop.stripe_up()
    refused = repeated(lambda: shop.client.post("/api/v1/subscriptions", json=body))
    assert error_of(refused) == (409, "ALREADY_SUBSCRIBED")
    (made,) = shop.client.get("/api/v1/subscriptions", params={"customer_id": body["customer_id"]}).json()["data"]
    assert refused.json()["error"]["details"]["subscription_id"] == made["id"]


def test_a_request_that_lost_its_answer_is_repeated_without_a_second_subscription(shop: Shop) -> None:
    shop.sell(**SOLO)
    body = {"customer_id": customer_with(shop), "plan": "solo", "interval": "month"}
    headers = keyed()
    # Stripe does it, and nobody hears of it.
    shop.stripe.break_things({"kind": "hang_after", "path": "/v1/subscriptions", "method": "POST", "seconds": HANGS_S})
    lost = shop.client.post("/api/v1/subscriptions", json=body, headers=headers)
    assert lost.status_code == 503
    assert int(lost.headers["Retry-After"]) >= 1
    shop.stripe_up()
    made = repeated(lambda: shop.client.post("/api/v1/subscriptions", json=body, headers=headers))
    assert made.status_code == 201
    owner = at_stripe(shop, made.json())["customer"]
    assert len([each for each in shop.stripe.objects("subscription") if each["customer"] == owner]) == 1


def test_trials_are_the_plans_or_what_the_seller_gives(shop: Shop) -> None:
    shop.sell(**{**SOLO, "trial_days": 14})
    first = subscribe(shop, "solo", customer=customer_with(shop, None))
    assert (first["status"], first["mrr_minor"]) == ("trialing", 0)
    assert first["trial_end"] == first["current_period_end"]
    longer = subscribe(shop, "solo", trial_days=30)
    assert longer["trial_end"] > first["trial_end"]
    assert subscribe(shop, "solo", trial_days=0)["status"] == "active"


def test_lists_are_filtered_sorted_and_go_on(shop: Shop) -> None:
    shop.sell(**SOLO)
    seats = shop.sell(**SEATS)
    made = [subscribe(shop, plan) for plan in ("solo", "seats", "solo")]
    act(shop, made[0], "cancel", {"at": "now"})

    def ids(**params: Any) -> list[str]:
        answer = shop.client.get("/api/v1/subscriptions", params=params)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]]

    oldest = ids(sort="created_at")
    assert set(oldest) == {each["id"] for each in made}
    assert ids() == oldest[::-1]
    walked: list[str] = []
    cursor: str | None = None
    while True:
        found = shop.client.get("/api/v1/subscriptions", params={"limit": 1, **({"cursor": cursor} if cursor else {})})
        walked += [each["id"] for each in found.json()["data"]]
        cursor = found.json()["next_cursor"]
        if cursor is None:
            break
    assert walked == ids()
    assert ids(status="canceled") == [made[0]["id"]]
    assert set(ids(status=["canceled", "active"])) == set(oldest)
    assert ids(customer_id=made[1]["customer_id"]) == [made[1]["id"]]
    assert ids(plan="seats") == ids(plan=seats["id"]) == [made[1]["id"]]
    assert ids(plan="none") == []
    for bad in ({"status": "gone"}, {"sort": "name"}, {"cursor": "!!"}, {"customer_id": "1"}, {"limit": 0}):
        assert shop.client.get("/api/v1/subscriptions", params=bad).status_code == 400


def test_nobody_else_sees_or_changes_it(shop: Shop, globex: Any) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    (invoice,) = shop.client.get("/api/v1/invoices", params={"customer_id": made["customer_id"]}).json()["data"]
    path = f"/api/v1/subscriptions/{made['id']}"
    before = len(shop.stripe.calls())
    refused = [globex.get(f"{path}{tail}") for tail in ("", "/changes", "/upcoming-invoice")]
    refused += [globex.patch(path, json={"quantity": 2}), globex.post(f"{path}/preview", json={"quantity": 2})]
    bodies = {"cancel": {}, "reactivate": {}, "pause": {}, "resume": {}, "trial": {"ends_at": "now"}}
    refused += [globex.post(f"{path}/{action}", json=body) for action, body in bodies.items()]
    assert {error_of(answer) for answer in refused} == {(404, "SUBSCRIPTION_NOT_FOUND")}
    path = f"/api/v1/invoices/{invoice['id']}"
    refused = [globex.get(f"{path}{tail}") for tail in ("", "/lines", "/pdf")]
    refused.append(globex.post(f"{path}/pay", json={}))
    assert {error_of(answer) for answer in refused} == {(404, "INVOICE_NOT_FOUND")}
    assert globex.get("/api/v1/subscriptions").json()["data"] == globex.get("/api/v1/invoices").json()["data"] == []
    body = {"customer_id": made["customer_id"], "plan": made["plan"]["id"], "interval": "month"}
    assert error_of(globex.post("/api/v1/subscriptions", json=body)) == (404, "CUSTOMER_NOT_FOUND")
    assert writes_at_stripe(shop, before) == []
