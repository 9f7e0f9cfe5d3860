from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.api.people import someone
from tests.integration.api.selling.shop import TEAM, URLS, Shop, error_of
from tests.integration.api.service import Service


def session_of(shop: Shop, checkout: dict[str, Any]) -> dict[str, Any]:
    sessions = shop.stripe.objects("checkout.session")
    return next(each for each in sessions if each["client_reference_id"] == checkout["id"])


def test_an_end_user_checks_out_comes_back_and_is_subscribed(shop: Shop, service: Service) -> None:
    plan = shop.sell(trial_days=0)
    jenny = someone(service, "jenny")
    with jenny.client() as client:
        started = shop.checkout(client, organization=shop.slug, quantity=3, currency="eur")
        assert started.status_code == 201, started.text
        checkout = started.json()
        assert (checkout["status"], checkout["subscription"], checkout["quantity"]) == ("open", None, 3)
        assert checkout["plan"] == {"id": plan["id"], "slug": "team", "version": 1}
        assert (checkout["interval"], checkout["interval_count"], checkout["currency"]) == ("month", 1, "eur")
        path = f"/api/v1/checkout/{checkout['id']}"
        assert client.get(path).json() == checkout

        back = shop.pay(checkout["url"])
        assert back.headers["location"].startswith("https://app.example.com/welcome?of=cs_test_")
        done = client.get(path).json()
        assert (done["status"], done["url"], done["subscription"]["status"]) == ("complete", None, "active")
        assert done["completed_at"] is not None
        (customer,) = client.get("/api/v1/customers").json()["data"]
        assert (customer["id"], customer["email"]) == (done["customer_id"], jenny.email)
        subscription = client.get(f"/api/v1/subscriptions/{done['subscription']['id']}").json()
        assert subscription["status"] == "active"
    (held,) = [
        each for each in shop.stripe.objects("subscription") if each["customer"] == customer["stripe_customer_id"]
    ]
    items = {item["price"]["id"]: item.get("quantity") for item in held["items"]["data"]}
    prices = plan["stripe_prices"]
    assert items == {prices["base"]: 1, prices["seats"]: 3, prices["calls"]: None}


def test_the_stripe_customer_is_used_again(shop: Shop) -> None:
    shop.sell(slug="other", prices=TEAM["prices"][:1])
    shop.sell()
    customer = shop.customer()
    first = shop.checkout(customer_id=customer["id"]).json()
    second = shop.checkout(customer_id=customer["id"], plan="other").json()
    assert {session_of(shop, each)["customer"] for each in (first, second)} == {customer["stripe_customer_id"]}


def test_trials_are_the_plans_or_shorter(shop: Shop) -> None:
    shop.sell()
    wishes: list[tuple[dict[str, Any], str]] = [
        ({}, "trialing"),
        ({"trial_days": 7}, "trialing"),
        ({"trial_days": 0}, "active"),
    ]
    for wanted, status in wishes:
        started = shop.checkout(customer_id=shop.customer()["id"], **wanted).json()
        shop.pay(started["url"])
        done = shop.client.get(f"/api/v1/checkout/{started['id']}").json()
        assert done["subscription"]["status"] == status
    longer = shop.checkout(customer_id=shop.customer()["id"], trial_days=15)
    assert error_of(longer) == (422, "TRIAL_TOO_LONG")


def test_a_product_is_bought_once(shop: Shop) -> None:
    shop.sell(product="suite")
    shop.sell(slug="max", product="suite", prices=TEAM["prices"][:1])
    customer = shop.customer()["id"]
    checkout = shop.checkout(customer_id=customer).json()
    shop.pay(checkout["url"])
    for plan, body in (("team", None), ("max", {"plan": "max"})):
        again = shop.checkout(customer_id=customer, plan=plan)
        assert error_of(again) == (409, "ALREADY_SUBSCRIBED")
        details = again.json()["error"]["details"]
        done = shop.client.get(f"/api/v1/checkout/{checkout['id']}").json()
        assert details["subscription_id"] == done["subscription"]["id"]
        path = f"/api/v1/subscriptions/{details['subscription_id']}"
        assert details["change"] == (body and {"method": "PATCH", "path": path, "body": body})
    shop.client.post(f"{path}/cancel", json={}).raise_for_status()
    change = shop.checkout(customer_id=customer, plan="max").json()["error"]["details"]["change"]
    assert (change["method"], change["path"]) == ("POST", f"{path}/reactivate")
    assert shop.client.request(change["method"], change["path"], json=change["body"]).status_code == 200


def test_a_page_left_open_is_closed_when_another_is_begun(shop: Shop) -> None:
    shop.sell()
    customer = shop.customer()["id"]
    first = shop.checkout(customer_id=customer).json()
    second = shop.checkout(customer_id=customer, quantity=2).json()
    assert shop.client.get(f"/api/v1/checkout/{first['id']}").json()["status"] == "expired"
    assert httpx.post(first["url"], data={"test_card": "4242424242424242"}).status_code == 410
    assert shop.pay(second["url"]).status_code == 303


def test_a_declined_card_leaves_the_page_open(shop: Shop) -> None:
    shop.sell(trial_days=0)
    checkout = shop.checkout(customer_id=shop.customer()["id"]).json()
    assert shop.pay(checkout["url"], card="4000000000000002").status_code == 402
    assert shop.client.get(f"/api/v1/checkout/{checkout['id']}").json() == checkout
    assert shop.pay(checkout["url"]).status_code == 303


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"plan": "nothing"}, (404, "PLAN_NOT_FOUND")),
        ({"plan": str(uuid.uuid4())}, (404, "PLAN_NOT_FOUND")),
        ({"plan": "draft"}, (422, "PLAN_NOT_ACTIVE")),
        ({"plan": "old"}, (422, "PLAN_ARCHIVED")),
        ({"currency": "jpy"}, (422, "CURRENCY_NOT_OFFERED")),
        ({"interval": "year"}, (422, "INTERVAL_NOT_OFFERED")),
        ({"quantity": 0}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({"quantity": 10**9}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({"quantity": "2"}, (400, "SCHEMA_VALIDATION")),
        ({"discount_code": "NONE"}, (404, "DISCOUNT_CODE_UNKNOWN")),
        ({"customer_id": str(uuid.uuid4())}, (404, "CUSTOMER_NOT_FOUND")),
        ({"customer_id": None}, (400, "INVALID_INPUT")),
        ({"success_url": "app.example.com"}, (400, "SCHEMA_VALIDATION")),
        ({"surprise": 1}, (400, "SCHEMA_VALIDATION")),
    ],
)
def test_what_cannot_be_bought_is_refused_before_stripe_hears_of_it(
    shop: Shop, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    shop.sell()
    shop.sell(slug="old")
    shop.client.delete("/api/v1/plans/old").raise_for_status()
    shop.client.post("/api/v1/plans", json={**TEAM, "slug": "draft"}).raise_for_status()
    customer = shop.customer()["id"]
    before = len(shop.stripe.calls())
    assert error_of(shop.checkout(**{"customer_id": customer, **body})) == refusal
    assert len(shop.stripe.calls()) == before


def test_end_users_are_told_archived_from_unknown_and_nothing_of_drafts(shop: Shop, service: Service) -> None:
    old = shop.sell(slug="old")
    shop.client.delete("/api/v1/plans/old").raise_for_status()
    shop.client.post("/api/v1/plans", json={**TEAM, "slug": "draft"}).raise_for_status()
    with someone(service).client() as client:
        assert error_of(shop.checkout(client, plan="old", organization=shop.slug)) == (422, "PLAN_ARCHIVED")
        assert error_of(shop.checkout(client, plan=old["id"])) == (422, "PLAN_ARCHIVED")
        assert error_of(shop.checkout(client, plan="draft", organization=shop.slug)) == (404, "PLAN_NOT_FOUND")
        assert client.get("/api/v1/customers").json()["data"] == []


def test_the_customers_currency_goes_first(shop: Shop) -> None:
    shop.sell(trial_days=0)
    shop.sell(slug="other", prices=TEAM["prices"][:1])
    customer = shop.customer()["id"]
    checkout = shop.checkout(customer_id=customer, currency="eur").json()
    shop.pay(checkout["url"])
    shop.client.get(f"/api/v1/checkout/{checkout['id']}").raise_for_status()
    shop.client.patch(f"/api/v1/customers/{customer}", json={"name": "J"}).raise_for_status()
    assert shop.checkout(customer_id=customer, plan="other").json()["currency"] == "eur"


def test_others_checkouts_are_not_found(shop: Shop, globex: httpx.Client, service: Service) -> None:
    plan = shop.sell()
    checkout = shop.checkout(customer_id=shop.customer()["id"]).json()
    with someone(service).client() as stranger:
        for client in (globex, stranger):
            assert error_of(client.get(f"/api/v1/checkout/{checkout['id']}")) == (404, "CHECKOUT_NOT_FOUND")
        other = shop.checkout(stranger, plan=plan["id"], customer_id=checkout["customer_id"])
        assert error_of(other) == (404, "CUSTOMER_NOT_FOUND")
    foreign = shop.checkout(globex, plan=plan["id"], customer_id=checkout["customer_id"])
    assert error_of(foreign) == (404, "PLAN_NOT_FOUND")


def test_while_stripe_is_down_nothing_is_begun_and_a_repetition_finishes_it(shop: Shop, service: Service) -> None:
    shop.sell()
    headers = {"Idempotency-Key": "buy"}
    body = {"plan": "team", "organization": shop.slug, "success_url": "https://app.example.com"}
    with someone(service).client() as client:
        for path in ("/v1", "/v1/checkout"):
            shop.stripe_down(path=path)
            refused = client.post("/api/v1/checkout", json=body, headers=headers)
            assert error_of(refused) == (503, "UNAVAILABLE")
            assert int(refused.headers["Retry-After"]) >= 1
        shop.stripe_up()
        started = client.post("/api/v1/checkout", json=body, headers=headers)
        assert started.status_code == 201
        assert client.post("/api/v1/checkout", json=body, headers=headers).json() == started.json()
        shop.stripe_down()
        assert client.get(f"/api/v1/checkout/{started.json()['id']}").json() == started.json()
    customers = shop.client.get("/api/v1/customers").json()["data"]
    assert [each["id"] for each in customers] == [started.json()["customer_id"]]
    references = [each["client_reference_id"] for each in shop.stripe.objects("checkout.session")]
    assert references.count(started.json()["id"]) == 1


def test_a_user_who_clicks_twice_becomes_one_customer(shop: Shop, service: Service) -> None:
    shop.sell()
    jenny = someone(service, "jenny")
    with jenny.client() as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: shop.checkout(client, organization=shop.slug), range(4)))
    started = [answer.json() for answer in answers if answer.status_code == 201]
    assert started
    assert {error_of(answer) for answer in answers if answer.status_code != 201} <= {(409, "CUSTOMER_BUSY")}
    (customer,) = shop.client.get("/api/v1/customers").json()["data"]
    # And has one page to pay on.
    sessions = [
        each for each in shop.stripe.objects("checkout.session") if each["customer"] == customer["stripe_customer_id"]
    ]
    assert [each["status"] for each in sessions].count("open") == 1
    assert [each["email"] for each in shop.stripe.objects("customer")].count(jenny.email) == 1


def test_what_stripe_says_of_taxes_reaches_the_caller(shop: Shop) -> None:
    """The simulator computes no taxes and says so; what was asked for arrived."""
    shop.sell()
    answer = shop.checkout(customer_id=shop.customer()["id"], automatic_tax=True)
    assert (error_of(answer), answer.json()["error"]["details"]["field"]) == (
        (400, "INVALID_INPUT"),
        "automatic_tax[enabled]",
    )


def test_the_body_names_no_other_organization_than_the_credentials(shop: Shop, globex: httpx.Client) -> None:
    shop.sell(trial_days=0)
    customer = shop.customer()["id"]
    seller = globex.get("/api/v1/organization").json()["slug"]
    bodies: dict[str, dict[str, Any]] = {
        "customers": {"name": "Ada"},
        "subscriptions": {"plan": "team", "customer_id": customer},
        "checkout": {"plan": "team", "customer_id": customer, **URLS},
        "discount-codes/validate": {"plan": "team", "code": "NONE"},
    }
    for path, body in bodies.items():
        for other in (seller, "nobody"):
            answer = shop.client.post(f"/api/v1/{path}", json={**body, "organization": other})
            assert error_of(answer) == (404, "ORGANIZATION_NOT_FOUND"), path
    own = {**bodies["checkout"], "organization": shop.slug}
    assert shop.client.post("/api/v1/checkout", json=own).status_code == 201
