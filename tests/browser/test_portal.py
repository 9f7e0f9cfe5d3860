"""The simulator's customer portal, in Chromium: plans, cards and invoices of one customer."""

from __future__ import annotations

import pytest

from tests.browser.shop import Shop
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


@pytest.fixture
def customer(shop: Shop, visitor: Visitor) -> str:
    """Somebody who pays by the month, and has opened the portal."""
    found = shop.subscriber()
    visitor.open(shop.portal(found)["url"])
    return found


def test_the_plan_is_switched(shop: Shop, visitor: Visitor, customer: str) -> None:
    assert visitor.reads("$29.00 / month")
    visitor.page.get_by_label("Switch to").select_option(label="Pro: $290.00 / year")
    visitor.press("Switch")
    assert visitor.page.get_by_role("status").inner_text() == "The plan is changed."
    assert visitor.section("Pro").get_by_text("$290.00 / year", exact=True).is_visible()
    (item,) = shop.only("/v1/subscriptions", customer=customer)["items"]["data"]
    assert item["price"]["id"] == shop.prices["year"]
    assert sorted(invoice["status"] for invoice in shop.get("/v1/invoices")["data"]) == ["paid", "paid"]


def test_it_is_cancelled_and_taken_back(shop: Shop, visitor: Visitor, customer: str) -> None:
    assert visitor.reads("Renews on")
    visitor.page.get_by_text("Cancel the subscription").click()
    visitor.look()
    visitor.page.get_by_label("Why?").select_option("Too expensive")
    visitor.press("Cancel it")
    assert visitor.reads("Ends on")
    cancelled = shop.only("/v1/subscriptions", customer=customer)
    assert (cancelled["status"], cancelled["cancel_at_period_end"]) == ("active", True)
    assert cancelled["cancellation_details"]["feedback"] == "too_expensive"
    visitor.press("Keep it")
    assert visitor.reads("Renews on")
    assert shop.only("/v1/subscriptions", customer=customer)["cancel_at_period_end"] is False


def test_cards_are_added_preferred_and_removed(shop: Shop, visitor: Visitor, customer: str) -> None:
    cards = visitor.section("Cards")
    cards.get_by_text("Add a card").click()
    visitor.look()
    visitor.type_card("5555 5555 5555 4444")
    visitor.press("Save the card")
    assert visitor.page.get_by_role("status").inner_text() == "The card is saved, and is the default now."
    assert _default(shop, customer) == "4444"
    visitor.press("Make default")
    assert _default(shop, customer) == "4242"
    visitor.press("Remove the card ending in 4444")
    assert not cards.get_by_text("4444").count()
    (left,) = shop.get(f"/v1/customers/{customer}/payment_methods")["data"]
    assert left["card"]["last4"] == "4242"


def _default(shop: Shop, customer: str) -> str:
    found = shop.get(f"/v1/customers/{customer}", **{"expand[]": "invoice_settings.default_payment_method"})
    return str(found["invoice_settings"]["default_payment_method"]["card"]["last4"])


def test_a_refused_card_is_told_and_a_bank_may_ask(shop: Shop, visitor: Visitor, customer: str) -> None:
    visitor.section("Cards").get_by_text("Add a card").click()
    visitor.type_card("4000 0000 0000 0002")
    visitor.press("Save the card")
    assert "declined" in visitor.page.get_by_role("alert").inner_text()
    visitor.section("Cards").get_by_text("Add a card").click()
    visitor.type_card("4000 0000 0000 3220")
    visitor.press("Save the card")
    assert visitor.reads("Your bank asks if this is you")
    visitor.press("Complete")
    assert _default(shop, customer) == "3220"


def test_an_invoice_is_shown_and_printed(shop: Shop, visitor: Visitor, customer: str) -> None:
    invoice = shop.only("/v1/invoices", customer=customer)
    visitor.section("Invoices").get_by_role("link", name=invoice["number"]).click()
    visitor.look()
    assert visitor.reads(f"Invoice {invoice['number']}")
    for words in ("Kim Ünal", "$29.00", "paid"):
        assert visitor.reads(words)
    visitor.page.get_by_role("link", name="A page to print").click()
    visitor.look()
    assert visitor.reads(invoice["number"])


def test_an_unpaid_invoice_is_paid_on_its_page(shop: Shop, visitor: Visitor, customer: str) -> None:
    form = {
        "customer": customer,
        "items[0][price]": shop.prices["year"],
        "payment_behavior": "default_incomplete",
    }
    subscription = shop.post("/v1/subscriptions", **form)
    invoice = shop.get(f"/v1/invoices/{subscription['latest_invoice']}")
    visitor.open(invoice["hosted_invoice_url"])
    visitor.press("3220")
    visitor.press("Fail")
    assert "unable to authenticate" in visitor.page.get_by_role("alert").inner_text()
    visitor.type_card("4242 4242 4242 4242")
    visitor.press("Pay $290.00")
    assert shop.get(f"/v1/invoices/{invoice['id']}")["status"] == "paid"
    assert shop.get(f"/v1/subscriptions/{subscription['id']}")["status"] == "active"


def test_it_leads_back(shop: Shop, visitor: Visitor, customer: str) -> None:
    visitor.page.get_by_role("link", name="Back").click()
    assert visitor.page.url == f"{shop.url}/account"
    assert shop.only("/v1/subscriptions", customer=customer)["status"] == "active"
