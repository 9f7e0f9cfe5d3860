"""End users see and change what is their own, and give themselves nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.people import Someone
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import SEATS, SOLO, customer_with, subscribe

pytestmark = pytest.mark.integration


def test_they_see_and_change_their_own_alone(shop: Shop, ada: Someone, asked: httpx.Client) -> None:
    shop.sell(**SEATS)
    own = subscribe(shop, "seats", customer=customer_with(shop, user_id=ada.user_id))
    other = subscribe(shop, "seats", customer=customer_with(shop, user_id=f"not-{ada.user_id}"))
    assert [each["id"] for each in asked.get("/api/v1/subscriptions").json()["data"]] == [own["id"]]
    (invoice,) = asked.get("/api/v1/invoices").json()["data"]
    assert invoice["subscription_id"] == own["id"]
    assert len(asked.get(f"/api/v1/invoices/{invoice['id']}/lines").json()["data"]) == 1
    for named in ({"customer_id": other["customer_id"]}, {"plan": "none"}):
        assert asked.get("/api/v1/subscriptions", params=named).json()["data"] == []

    path = f"/api/v1/subscriptions/{own['id']}"
    shown = asked.post(f"{path}/preview", json={"quantity": 3, "proration": "invoice_now"}).json()
    body = {"quantity": 3, "proration": "invoice_now", "proration_at": shown["proration_at"]}
    assert asked.patch(path, json=body).json()["quantity"] == 3
    newest = asked.get(f"{path}/changes").json()["data"][0]
    assert (newest["kind"], newest["actor"]) == ("quantity_changed", f"user {ada.user_id}")
    assert asked.post(f"{path}/cancel", json={"at": "period_end"}).json()["cancel_at_period_end"]
    assert not asked.post(f"{path}/reactivate", json={}).json()["cancel_at_period_end"]

    path = f"/api/v1/subscriptions/{other['id']}"
    answers = [
        asked.get(path),
        asked.get(f"{path}/changes"),
        asked.patch(path, json={"quantity": 2}),
        asked.post(f"{path}/cancel", json={"at": "now"}),
    ]
    assert {error_of(answer) for answer in answers} == {(404, "SUBSCRIPTION_NOT_FOUND")}
    assert shop.client.get(path).json() == other


def test_what_was_billed_stays_in_their_lists_when_the_customer_is_deleted(
    shop: Shop, ada: Someone, asked: httpx.Client
) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo", customer=customer_with(shop, user_id=ada.user_id))
    asked.delete(f"/api/v1/customers/{made['customer_id']}").raise_for_status()
    for named in ({}, {"customer_id": made["customer_id"]}):
        (kept,) = asked.get("/api/v1/subscriptions", params=named).json()["data"]
        assert (kept["id"], kept["status"]) == (made["id"], "canceled")
        (invoice,) = asked.get("/api/v1/invoices", params=named).json()["data"]
        assert invoice["subscription_id"] == made["id"]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("pause", {}),
        ("trial", {"ends_at": "2027-01-01T00:00:00Z"}),
        ("", {"quantity": 2, "proration": "none"}),
    ],
)
def test_they_give_themselves_nothing(
    shop: Shop, ada: Someone, asked: httpx.Client, action: str, body: dict[str, Any]
) -> None:
    shop.sell(**SEATS)
    own = subscribe(shop, "seats", customer=customer_with(shop, user_id=ada.user_id))
    before = len(shop.stripe.calls())
    path = f"/api/v1/subscriptions/{own['id']}"
    answer = asked.post(f"{path}/{action}", json=body) if action else asked.patch(path, json=body)
    assert error_of(answer) == (403, "INSUFFICIENT_PERMISSIONS")
    assert len(shop.stripe.calls()) == before


def test_they_subscribe_and_get_a_trial_once(shop: Shop, ada: Someone, asked: httpx.Client) -> None:
    shop.sell(**{**SOLO, "trial_days": 7})
    customer = customer_with(shop, user_id=ada.user_id)
    body = {"plan": "solo", "organization": shop.slug, "interval": "month"}
    assert error_of(asked.post("/api/v1/subscriptions", json={**body, "trial_days": 30})) == (
        403,
        "INSUFFICIENT_PERMISSIONS",
    )
    first = asked.post("/api/v1/subscriptions", json=body).json()
    assert (first["status"], first["customer_id"]) == ("trialing", customer)
    path = f"/api/v1/subscriptions/{first['id']}"
    assert asked.post(f"{path}/cancel", json={"at": "now"}).json()["status"] == "canceled"
    again = asked.post("/api/v1/subscriptions", json=body)
    assert (again.status_code, again.json()["status"]) == (201, "active")


def test_a_stranger_is_no_customer(shop: Shop, asked: httpx.Client) -> None:
    shop.sell(**SOLO)
    body = {"plan": "solo", "organization": shop.slug, "interval": "month"}
    assert error_of(asked.post("/api/v1/subscriptions", json=body)) == (404, "CUSTOMER_NOT_FOUND")
    other = customer_with(shop)
    assert error_of(asked.post("/api/v1/subscriptions", json={**body, "customer_id": other})) == (
        404,
        "CUSTOMER_NOT_FOUND",
    )


def test_a_key_that_reads_changes_nothing(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    path = f"/api/v1/subscriptions/{made['id']}"
    with shop.service.client(shop.service.key(shop.slug, "read")) as reader:
        assert reader.get(path).json() == made
        assert reader.post(f"{path}/preview", json={"quantity": 2}).status_code == 200
        refused = reader.patch(path, json={"quantity": 2})
        assert (error_of(refused), refused.json()["error"]["details"]["required"]) == (
            (403, "INSUFFICIENT_PERMISSIONS"),
            "admin",
        )
