from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.engines import wait_for
from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.service import Service

ADDRESS = {"line1": "510 Townsend St", "city": "San Francisco", "postal_code": "94103", "country": "US"}


def at_stripe(shop: Shop, customer: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in shop.stripe.objects("customer") if each["id"] == customer["stripe_customer_id"])


def test_a_customer_is_created_shown_changed_and_deleted(shop: Shop) -> None:
    customer = shop.customer(address=ADDRESS, subjects=["c-1"], metadata={"tier": "gold"}, user_id="jenny")
    assert (customer["name"], customer["email"], customer["user_id"]) == ("Jenny", "jenny@example.com", "jenny")
    assert customer["address"] == {"line2": None, "state": None, **ADDRESS}
    assert (customer["subjects"], customer["metadata"], customer["balance_minor"]) == (["c-1"], {"tier": "gold"}, 0)
    path = f"/api/v1/customers/{customer['id']}"
    assert shop.client.get(path).json() == customer
    assert at_stripe(shop, customer)["email"] == "jenny@example.com"

    changed = shop.client.patch(path, json={"email": None, "subjects": ["c-1", "c-2"], "address": {"city": "Paris"}})
    assert changed.status_code == 200, changed.text
    body = changed.json()
    assert (body["email"], body["name"], body["subjects"]) == (None, "Jenny", ["c-1", "c-2"])
    assert body["address"]["city"] == "Paris"
    assert at_stripe(shop, customer)["email"] is None

    deleted = shop.client.delete(path).json()
    assert deleted["deleted_at"] is not None
    assert (deleted["name"], deleted["subjects"]) == ("Jenny", ["c-1", "c-2"])
    assert shop.client.delete(path).json() == deleted
    assert shop.client.get(path).json() == deleted
    assert error_of(shop.client.patch(path, json={"name": "J"})) == (404, "CUSTOMER_NOT_FOUND")
    assert shop.client.get("/api/v1/customers").json()["data"] == []
    assert shop.client.get("/api/v1/customers?deleted=true").json()["data"] == [deleted]
    assert customer["stripe_customer_id"] not in [each["id"] for each in shop.stripe.objects("customer")]


def test_a_subject_is_one_customers(shop: Shop, globex: httpx.Client) -> None:
    held = shop.customer(subjects=["c-1", "c-2"])
    other = shop.customer(subjects=["c-3"])
    at_stripe_before = len(shop.stripe.objects("customer"))
    refused = shop.client.post("/api/v1/customers", json={"name": "Eve", "subjects": ["c-9", "c-2"]})
    assert error_of(refused) == (409, "SUBJECT_TAKEN")
    assert refused.json()["error"]["details"] == {"field": "subjects", "subject": "c-2"}
    assert len(shop.stripe.objects("customer")) == at_stripe_before
    path = f"/api/v1/customers/{other['id']}"
    refused = shop.client.patch(path, json={"name": "Eve", "subjects": ["c-1", "c-3"]})
    assert error_of(refused) == (409, "SUBJECT_TAKEN")
    assert refused.json()["error"]["details"] == {"field": "subjects", "subject": "c-1"}
    assert at_stripe(shop, other)["name"] == "Jenny"
    # Another organization's subjects are its own; who lets go, or is deleted, gives them free.
    assert globex.post("/api/v1/customers", json={"subjects": ["c-1"]}).status_code == 201
    shop.client.patch(f"/api/v1/customers/{held['id']}", json={"subjects": ["c-2"]}).raise_for_status()
    assert shop.client.patch(path, json={"subjects": ["c-1", "c-3"]}).json()["subjects"] == ["c-1", "c-3"]
    shop.client.delete(path).raise_for_status()
    assert shop.customer(subjects=["c-1", "c-3"])["subjects"] == ["c-1", "c-3"]


def values(answer: httpx.Response) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [each["value"] for each in answer.json()["tax_ids"]]


VAT, EIN = {"type": "eu_vat", "value": "DE123456789"}, {"type": "us_ein", "value": "12-3456789"}


def test_tax_ids_are_kept_at_stripe_and_replaced_as_a_whole(shop: Shop) -> None:
    made = shop.client.post("/api/v1/customers", json={"name": "Jenny", "tax_ids": [VAT, EIN]})
    assert made.json()["tax_ids"] == [VAT | {"verification": "pending"}, EIN | {"verification": "unavailable"}]
    path = f"/api/v1/customers/{made.json()['id']}"

    def kept() -> set[str]:
        owner = made.json()["stripe_customer_id"]
        return {each["value"] for each in shop.stripe.objects("tax_id") if each["customer"] == owner}

    british = {"type": "gb_vat", "value": "GB123456789"}
    changed = shop.client.patch(path, json={"name": "J", "tax_ids": [EIN, british, british]})
    assert (changed.json()["name"], values(changed)) == ("J", ["12-3456789", "GB123456789"])
    assert kept() == {"12-3456789", "GB123456789"}
    # One that stays is left alone.
    before = len(shop.stripe.calls())
    assert values(shop.client.patch(path, json={"tax_ids": [british, EIN]})) == ["12-3456789", "GB123456789"]
    assert {call["method"] for call in shop.stripe.calls()[before:]} == {"GET"}
    assert values(shop.client.patch(path, json={"name": "Jenny"})) == ["12-3456789", "GB123456789"]
    assert values(shop.client.patch(path, json={"tax_ids": []})) == []
    assert kept() == set()


def test_a_tax_id_that_is_none_is_refused_and_changes_nothing(shop: Shop) -> None:
    wrong = {"type": "eu_vat", "value": "DE1"}
    refused = shop.client.post("/api/v1/customers", json={"name": "Jenny", "tax_ids": [VAT, wrong]})
    assert error_of(refused) == (422, "TAX_ID_INVALID")
    assert refused.json()["error"]["details"]["field"] == "tax_ids.1.value"
    assert shop.client.get("/api/v1/customers").json()["data"] == []
    customer = shop.customer(tax_ids=[VAT])
    path = f"/api/v1/customers/{customer['id']}"
    refused = shop.client.patch(path, json={"name": "Other", "tax_ids": [EIN, wrong]})
    assert error_of(refused) == (422, "TAX_ID_INVALID")
    assert "Invalid value for eu_vat" in refused.json()["error"]["message"]
    assert refused.json()["error"]["details"]["field"] == "tax_ids.1.value"
    assert error_of(shop.client.patch(path, json={"tax_ids": [EIN, {"type": "xx_vat", "value": "1"}]}))[0] == 400
    owner = customer["stripe_customer_id"]
    assert [each["value"] for each in shop.stripe.objects("tax_id") if each["customer"] == owner] == [VAT["value"]]
    shown = shop.client.get(path).json()
    assert (shown["name"], shown["tax_ids"]) == (customer["name"], customer["tax_ids"])


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_tax_ids_that_an_outage_left_half_done_are_finished_by_a_repetition(shop: Shop, method: str) -> None:
    customer = shop.customer(tax_ids=[VAT])
    owner, path = customer["stripe_customer_id"], f"/api/v1/customers/{customer['id']}"
    shop.stripe_down(path=f"/v1/customers/{owner}/tax_ids", method=method)
    british = {"type": "gb_vat", "value": "GB123456789"}
    body = {"name": "Jenny R.", "tax_ids": [EIN, british]}
    assert shop.client.patch(path, json=body).status_code == 503
    shop.stripe_up()
    kept = {each["value"] for each in shop.stripe.objects("tax_id") if each["customer"] == owner}
    assert VAT["value"] in kept
    done = shop.client.patch(path, json=body)
    assert (done.json()["name"], values(done)) == ("Jenny R.", [EIN["value"], british["value"]])
    kept = {each["value"] for each in shop.stripe.objects("tax_id") if each["customer"] == owner}
    assert kept == {EIN["value"], british["value"]}


def test_an_end_user_says_their_tax_id(shop: Shop, service: Service) -> None:
    with someone(service, "jenny").client() as client:
        made = client.post("/api/v1/customers", json={"organization": shop.slug, "tax_ids": [VAT]})
        assert values(made) == [VAT["value"]]
        assert values(client.patch(f"/api/v1/customers/{made.json()['id']}", json={"tax_ids": [EIN]})) == [EIN["value"]]


def test_lists_are_narrowed_and_paged(shop: Shop) -> None:
    ids = [
        shop.customer(email=f"{name}@example.com", user_id=name, subjects=[f"s-{name}"])["id"]
        for name in ("a", "b", "c")
    ]

    def found(**query: Any) -> list[str]:
        return [each["id"] for each in shop.client.get("/api/v1/customers", params=query).json()["data"]]

    assert found() == ids[::-1]
    assert found(email="B@example.com") == [ids[1]]
    assert found(user_id="c") == [ids[2]]
    assert found(subject="s-a") == [ids[0]]
    assert found(subject="s-a", user_id="a") == [ids[0]]
    assert found(subject="s-a", user_id="b") == []
    first = shop.client.get("/api/v1/customers", params={"limit": 2}).json()
    assert found(limit=2, cursor=first["next_cursor"]) == [ids[0]]


def test_others_customers_are_not_found(shop: Shop, globex: httpx.Client, service: Service) -> None:
    customer = shop.customer(user_id="jenny-of-another")
    path = f"/api/v1/customers/{customer['id']}"
    stranger = someone(service)
    with stranger.client() as visitor:
        for client in (globex, visitor):
            assert client.get("/api/v1/customers").json()["data"] == []
            for refused in (client.get(path), client.patch(path, json={"name": "X"}), client.delete(path)):
                assert error_of(refused) == (404, "CUSTOMER_NOT_FOUND")
    assert shop.client.get(path).json() == customer


def test_an_end_user_sees_and_changes_who_they_are(shop: Shop, service: Service) -> None:
    jenny = someone(service, "jenny")
    customer = shop.customer(user_id=jenny.user_id)
    shop.customer()
    path = f"/api/v1/customers/{customer['id']}"
    with jenny.client() as client:
        assert client.get("/api/v1/customers").json()["data"] == [customer]
        assert client.patch(path, json={"name": "Jenny R."}).json()["name"] == "Jenny R."
        sellers: tuple[dict[str, Any], ...] = ({"user_id": "other"}, {"subjects": ["s"]}, {"metadata": {}})
        for fields in sellers:
            assert error_of(client.patch(path, json=fields)) == (403, "INSUFFICIENT_PERMISSIONS")
        other = client.post("/api/v1/customers", json={"organization": shop.slug})
        assert error_of(other) == (409, "CUSTOMER_EXISTS")


@pytest.mark.parametrize("as_user", [True, False])
def test_a_change_writes_nothing_but_what_it_names(shop: Shop, service: Service, *, as_user: bool) -> None:
    """A second change comes while the first one waits for Stripe: both stay."""
    jenny = someone(service, "jenny")
    customer = shop.customer(user_id=jenny.user_id, subjects=["old"], metadata={"tier": "silver"})
    path, slow_path = f"/api/v1/customers/{customer['id']}", f"/v1/customers/{customer['stripe_customer_id']}"
    shop.stripe.break_things({"kind": "latency", "path": slow_path, "method": "POST", "seconds": 0.8})
    with jenny.client() as own, ThreadPoolExecutor(1) as thread:
        first = thread.submit((own if as_user else shop.client).patch, path, json={"name": "Jenny R."})
        calls = len(shop.stripe.calls())
        wait_for("the first asks Stripe", lambda: first.running() and len(shop.stripe.calls()) > calls)
        ours = {"subjects": ["new"], "metadata": {"tier": "gold"}, "user_id": None if not as_user else "other"}
        assert shop.client.patch(path, json=ours).status_code == 200
        assert not first.done()
        assert first.result().status_code == 200
    shown = shop.client.get(path).json()
    assert {name: shown[name] for name in ours} == ours
    assert shown["name"] == "Jenny R."
    # Each of ours by itself, too.
    shop.client.patch(path, json={"metadata": {}}).raise_for_status()
    shown = shop.client.get(path).json()
    assert (shown["subjects"], shown["metadata"], shown["user_id"]) == (["new"], {}, ours["user_id"])


def test_a_taken_user_is_refused_before_stripe_hears_anything(shop: Shop) -> None:
    shop.customer(user_id="u")
    second = shop.customer()
    before = len(shop.stripe.calls())
    answer = shop.client.patch(f"/api/v1/customers/{second['id']}", json={"user_id": "u", "name": "Other"})
    assert error_of(answer) == (409, "CUSTOMER_EXISTS")
    assert shop.stripe.calls()[before:] == []
    assert at_stripe(shop, second)["name"] == "Jenny"


def test_an_end_user_becomes_one_customer_however_often_they_ask(shop: Shop, service: Service) -> None:
    jenny = someone(service, "jenny")
    body = {"organization": shop.slug, "name": "Jenny"}
    with jenny.client() as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post("/api/v1/customers", json=body), range(4)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    (customer,) = shop.client.get("/api/v1/customers").json()["data"]
    assert (customer["user_id"], customer["email"]) == (jenny.user_id, jenny.email)
    assert [each["email"] for each in shop.stripe.objects("customer")].count(jenny.email) == 1

    shop.client.delete(f"/api/v1/customers/{customer['id']}").raise_for_status()
    with jenny.client() as client:
        again = client.post("/api/v1/customers", json=body).json()
    assert again["id"] != customer["id"]
    assert again["deleted_at"] is None


def test_a_user_is_one_customer_of_an_organization(shop: Shop) -> None:
    first, second = shop.customer(user_id="u"), shop.customer()
    answer = shop.client.post("/api/v1/customers", json={"user_id": "u"})
    assert error_of(answer) == (409, "CUSTOMER_EXISTS")
    moved = shop.client.patch(f"/api/v1/customers/{second['id']}", json={"user_id": "u"})
    assert error_of(moved) == (409, "CUSTOMER_EXISTS")
    assert shop.client.patch(f"/api/v1/customers/{first['id']}", json={"user_id": None}).json()["user_id"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"name": "x" * 257}, "name"),
        ({"address": {"country": "usa"}}, "address.country"),
        ({"address": {"planet": "Mars"}}, "address.planet"),
        ({"subjects": [""]}, "subjects.0"),
        ({"tax_ids": [{"type": "eu_vat"}]}, "tax_ids.0.value"),
        ({"tax_ids": [{"type": "VAT", "value": "1"}]}, "tax_ids.0.type"),
        ({"tax_ids": [{"type": "us_ein", "value": "12-3456789"}] * 6}, "tax_ids"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"currency": "usd"}, "currency"),
        ({"name": "nul\x00"}, "body"),
    ],
)
def test_a_customer_that_cannot_be_is_refused_with_the_field(shop: Shop, body: dict[str, Any], field: str) -> None:
    answer = shop.client.post("/api/v1/customers", json=body)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field), answer.text
    assert shop.client.get("/api/v1/customers").json()["data"] == []


def test_while_stripe_is_down_customers_are_read_and_not_written(shop: Shop) -> None:
    customer = shop.customer()
    path, headers = f"/api/v1/customers/{customer['id']}", {"Idempotency-Key": "new"}
    shop.stripe_down()
    new = {"name": "New"}
    for refused in (
        shop.client.post("/api/v1/customers", json=new, headers=headers),
        shop.client.patch(path, json={"name": "Other"}),
        shop.client.delete(path),
    ):
        assert error_of(refused) == (503, "UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
    assert shop.client.get("/api/v1/customers").json()["data"] == [customer]
    shop.stripe_up()
    made = shop.client.post("/api/v1/customers", json=new, headers=headers).json()
    assert shop.client.post("/api/v1/customers", json=new, headers=headers).json() == made
    assert len(shop.client.get("/api/v1/customers").json()["data"]) == 2


def test_a_customer_whose_making_broke_off_is_made_once(shop: Shop) -> None:
    """Stripe made it and its answer was lost; then it was made everywhere, and Stripe went away."""
    lost, broken = f"lost-{shop.slug}@example.com", f"broken-{shop.slug}@example.com"
    shop.stripe.break_things({"kind": "drop_after", "path": "/v1/customers", "method": "POST"})
    assert shop.client.post("/api/v1/customers", json={"email": lost}).status_code == 201

    headers = {"Idempotency-Key": "once"}
    shop.stripe.break_things({"kind": "error_before", "path": "/v1/customers", "method": "GET"})
    refused = shop.client.post("/api/v1/customers", json={"email": broken}, headers=headers)
    assert error_of(refused) == (503, "UNAVAILABLE")
    shop.stripe_up()
    made = shop.client.post("/api/v1/customers", json={"email": broken}, headers=headers)
    assert made.status_code == 201
    listed = shop.client.get("/api/v1/customers").json()["data"]
    assert [each["email"] for each in listed] == [broken, lost]
    emails = [each["email"] for each in shop.stripe.objects("customer")]
    assert (emails.count(lost), emails.count(broken)) == (1, 1)
