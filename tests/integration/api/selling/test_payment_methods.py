from __future__ import annotations

import httpx

from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.service import Service

METHODS = "/api/v1/payment-methods"


def test_cards_are_attached_made_the_default_and_detached(shop: Shop) -> None:
    customer = shop.customer()["id"]
    body = {"customer_id": customer, "payment_method": "pm_card_visa", "default": True}
    added = shop.client.post(METHODS, json=body)
    assert added.status_code == 201, added.text
    visa = added.json()["payment_method"]
    assert (visa["brand"], visa["last4"], visa["is_default"], visa["customer_id"]) == ("visa", "4242", True, customer)
    body = {"customer_id": customer, "payment_method": "pm_card_mastercard"}
    mastercard = shop.client.post(METHODS, json=body).json()["payment_method"]
    assert not mastercard["is_default"]
    listed = shop.client.get(METHODS, params={"customer_id": customer}).json()["data"]
    assert [card["brand"] for card in listed] == ["mastercard", "visa"]

    assert shop.client.post(f"{METHODS}/{mastercard['id']}/default").json()["is_default"]
    assert not shop.client.get(f"{METHODS}/{visa['id']}").json()["is_default"]

    gone = shop.client.delete(f"{METHODS}/{mastercard['id']}").json()
    assert gone["detached_at"] is not None
    assert shop.client.delete(f"{METHODS}/{mastercard['id']}").json() == gone
    again = shop.client.post(f"{METHODS}/{mastercard['id']}/default")
    assert error_of(again) == (404, "PAYMENT_METHOD_NOT_FOUND")
    rows = shop.client.get("/api/v1/audit-log", params={"target": mastercard["id"]}).json()["data"]
    detached, defaulted, attached = ((row["action"], row["before"]) for row in rows)
    assert (detached[0], detached[1]["detached_at"]) == ("payment_method.detach", None)
    assert (defaulted[0], defaulted[1]["is_default"]) == ("payment_method.default", False)
    assert attached == ("payment_method.attach", None)
    assert [card["id"] for card in shop.client.get(METHODS).json()["data"]] == [visa["id"]]


def test_the_first_card_pays_without_being_asked_to(shop: Shop) -> None:
    customer = shop.customer()["id"]
    visa, mastercard = (
        shop.client.post(METHODS, json={"customer_id": customer, "payment_method": card}).json()["payment_method"]
        for card in ("pm_card_visa", "pm_card_mastercard")
    )
    assert (visa["is_default"], mastercard["is_default"]) == (True, False)
    nothing = shop.client.post(METHODS, json={"customer_id": customer, "default": True})
    assert error_of(nothing) == (400, "SCHEMA_VALIDATION")
    assert "default needs payment_method" in nothing.json()["error"]["message"]


def test_the_new_default_also_pays_for_what_another_card_bought_on_stripes_page(shop: Shop) -> None:
    shop.sell(trial_days=0)
    customer = shop.customer()
    checkout = shop.checkout(customer_id=customer["id"]).json()
    shop.pay(checkout["url"])
    (bought,) = [
        each for each in shop.stripe.objects("subscription") if each["customer"] == customer["stripe_customer_id"]
    ]
    assert bought["default_payment_method"] is not None
    body = {"customer_id": customer["id"], "payment_method": "pm_card_mastercard", "default": True}
    assert shop.client.post(METHODS, json=body).status_code == 201
    (now,) = [each for each in shop.stripe.objects("subscription") if each["id"] == bought["id"]]
    (card,) = [each for each in shop.stripe.objects("payment_method") if each["id"] == now["default_payment_method"]]
    assert card["card"]["brand"] == "mastercard"


def test_without_a_card_stripes_form_is_begun(shop: Shop) -> None:
    begun = shop.client.post(METHODS, json={"customer_id": shop.customer()["id"]}).json()
    assert begun["payment_method"] is None
    assert begun["client_secret"].startswith(begun["setup_intent_id"])


def test_a_refused_card_says_so(shop: Shop) -> None:
    body = {"customer_id": shop.customer()["id"], "payment_method": "pm_card_chargeDeclined"}
    refused = shop.client.post(METHODS, json=body)
    assert error_of(refused) == (422, "PAYMENT_FAILED")
    assert refused.json()["error"]["details"]["decline_code"] == "generic_decline"
    assert shop.client.get(METHODS).json()["data"] == []


def test_whose_it_is_must_be_said(shop: Shop) -> None:
    answer = shop.client.post(METHODS, json={"payment_method": "pm_card_visa"})
    assert (error_of(answer), answer.json()["error"]["details"]["field"]) == ((400, "INVALID_INPUT"), "customer_id")


def test_an_end_user_manages_their_own_cards_and_no_others(shop: Shop, globex: httpx.Client, service: Service) -> None:
    jenny, stranger = someone(service, "jenny"), someone(service)
    customer = shop.customer(user_id=jenny.user_id)["id"]
    with jenny.client() as client:
        card = client.post(METHODS, json={"payment_method": "pm_card_visa"}).json()["payment_method"]
        assert card["customer_id"] == customer
        assert client.get(METHODS).json()["data"] == [card]
    with stranger.client() as visitor:
        assert error_of(visitor.post(METHODS, json={"payment_method": "pm_card_visa"})) == (404, "CUSTOMER_NOT_FOUND")
        for client in (visitor, globex):
            assert client.get(METHODS, params={"customer_id": customer}).json()["data"] == []
            path = f"{METHODS}/{card['id']}"
            for refused in (client.get(path), client.post(f"{path}/default"), client.delete(path)):
                assert error_of(refused) == (404, "PAYMENT_METHOD_NOT_FOUND")
    assert shop.client.get(METHODS).json()["data"] == [card]


def test_the_portal_is_opened_for_a_customer_one_may_see(shop: Shop, service: Service) -> None:
    jenny, stranger = someone(service, "jenny"), someone(service)
    customer = shop.customer(user_id=jenny.user_id)["id"]
    body = {"return_url": "https://app.example.com"}
    opened = shop.client.post("/api/v1/portal", json={**body, "customer_id": customer})
    assert opened.status_code == 201
    assert httpx.get(opened.json()["url"]).status_code == 200
    with jenny.client() as client:
        assert client.post("/api/v1/portal", json=body).json()["url"].startswith(shop.stripe.url)
    with stranger.client() as client:
        assert error_of(client.post("/api/v1/portal", json=body)) == (404, "CUSTOMER_NOT_FOUND")
        named = client.post("/api/v1/portal", json={**body, "customer_id": customer})
        assert error_of(named) == (404, "CUSTOMER_NOT_FOUND")
    for wrong in ("app.example.com", "javascript:alert(1)", "https://", "https://a b"):
        answer = shop.client.post("/api/v1/portal", json={"return_url": wrong, "customer_id": customer})
        assert answer.json()["error"]["details"]["field"] == "return_url"
    shop.stripe_down()
    assert error_of(shop.client.post("/api/v1/portal", json={**body, "customer_id": customer})) == (503, "UNAVAILABLE")
