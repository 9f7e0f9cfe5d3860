"""Invoices and their lines are listed, and their PDFs found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import SEATS, SOLO, subscribe

pytestmark = pytest.mark.integration


def test_a_pdf_is_linked(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    (invoice,) = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    path = f"/api/v1/invoices/{invoice['id']}/pdf"
    url = shop.client.get(path).json()["url"]
    assert url.startswith("http")
    shop.service.sql("update invoices set status = 'draft', invoice_pdf_url = null where id = %s", invoice["id"])
    assert error_of(shop.client.get(path)) == (422, "INVOICE_NOT_FINALIZED")
    payment = shop.client.post(f"/api/v1/invoices/{invoice['id']}/pay", json={})
    assert error_of(payment) == (422, "INVOICE_NOT_FINALIZED")


def test_a_link_that_may_have_expired_is_asked_for_again(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    (invoice,) = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    path = f"/api/v1/invoices/{invoice['id']}/pdf"
    fresh = shop.client.get(path).json()
    old = "update invoices set invoice_pdf_url = 'https://old', updated_at = now() - interval '%s days' where id = %%s"
    shop.service.sql(old % 6, invoice["id"])
    assert shop.client.get(path).json() == {"url": "https://old"}
    shop.service.sql(old % 8, invoice["id"])
    shop.stripe_down()
    assert shop.client.get(path).json() == {"url": "https://old"}
    shop.stripe_up()
    assert shop.client.get(path).json() == fresh


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("application/pdf", 303),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 303),
        ("application/json, text/html;q=0.5", 200),
    ],
)
def test_browsers_are_sent_to_the_pdf(shop: Shop, accept: str, status: int) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    (invoice,) = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    path = f"/api/v1/invoices/{invoice['id']}/pdf"
    answer = shop.client.get(path, headers={"Accept": accept}, follow_redirects=False)
    assert answer.status_code == status
    found = answer.json()["url"] if status == 200 else answer.headers["Location"]
    assert found == shop.client.get(path).json()["url"]


def test_lists_are_filtered_and_go_on(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = [subscribe(shop, "seats", quantity=quantity) for quantity in (1, 2, 3)]

    def listed(**params: Any) -> list[str]:
        answer = shop.client.get("/api/v1/invoices", params=params)
        assert answer.status_code == 200, answer.text
        return [each["subscription_id"] for each in answer.json()["data"]]

    assert set(listed()) == {each["id"] for each in made}
    assert listed(customer_id=made[1]["customer_id"]) == [made[1]["id"]]
    assert listed(subscription_id=made[2]["id"]) == [made[2]["id"]]
    assert listed(status="open") == []
    assert len(listed(status=["open", "paid"])) == 3
    first = shop.client.get("/api/v1/invoices", params={"limit": 2}).json()
    rest = shop.client.get("/api/v1/invoices", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["subscription_id"] for each in first["data"] + rest["data"]] == listed()
    assert rest["next_cursor"] is None
    for bad in ({"status": "owed"}, {"cursor": "!!"}, {"customer_id": "1"}):
        assert shop.client.get("/api/v1/invoices", params=bad).status_code == 400


def test_lines_go_on_from_a_cursor(shop: Shop) -> None:
    shop.sell(trial_days=0)
    made = subscribe(shop, "team", quantity=4)
    (invoice,) = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    path = f"/api/v1/invoices/{invoice['id']}/lines"
    everything = shop.client.get(path).json()["data"]
    assert sorted((line["amount_minor"], line["quantity"]) for line in everything) == [(4800, "4"), (4900, "1")]
    assert sum(line["amount_minor"] - line["discount_minor"] for line in everything) == invoice["total_minor"]
    first = shop.client.get(path, params={"limit": 1}).json()
    rest = shop.client.get(path, params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert first["data"] + rest["data"] == everything
