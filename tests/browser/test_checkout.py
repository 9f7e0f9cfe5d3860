"""The simulator's checkout, in Chromium: people pay, are declined, authenticate, and come back."""

from __future__ import annotations

import pytest

from tests.browser.shop import Shop
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


def _assert_paid(shop: Shop, visitor: Visitor, session: str, total: int) -> None:
    assert visitor.page.url == f"{shop.url}/done?session={session}"
    assert visitor.reads("Back at the shop")
    subscription = shop.only("/v1/subscriptions")
    assert subscription["status"] == "active"
    invoice = shop.only("/v1/invoices")
    assert (invoice["status"], invoice["total"]) == ("paid", total)
    assert shop.get(f"/v1/checkout/sessions/{session}")["status"] == "complete"


def test_a_typed_card_pays(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    for words in ("Subscribe to Pro", "$58.00", "$29.00 / month"):
        assert visitor.reads(words)
    visitor.type(Email="ada@example.com", Name="Ada Lovelace")
    visitor.type_card("4242 4242 4242 4242")
    visitor.press("Subscribe and pay $58.00")
    _assert_paid(shop, visitor, session["id"], 5_800)
    assert shop.only("/v1/customers")["email"] == "ada@example.com"


def test_one_click_pays_with_a_test_card(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    visitor.press("4242")
    _assert_paid(shop, visitor, session["id"], 5_800)


def test_the_enter_key_pays_with_what_was_typed(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    visitor.type(Email="ada@example.com")
    visitor.type_card("5555 5555 5555 4444")
    visitor.page.get_by_label("Security code").press("Enter")
    visitor.page.wait_for_url(f"{shop.url}/**")
    _assert_paid(shop, visitor, session["id"], 5_800)
    customer = shop.only("/v1/customers")["id"]
    assert shop.only(f"/v1/customers/{customer}/payment_methods")["card"]["brand"] == "mastercard"


def test_a_declined_card_is_told_and_another_one_pays(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    visitor.type(Email="ada@example.com", Name="Ada")
    visitor.type_card("4000 0000 0000 0002")
    visitor.press("Subscribe and pay")
    assert visitor.page.get_by_role("alert").inner_text() == "Your card was declined."
    assert visitor.page.get_by_label("Email").input_value() == "ada@example.com"
    assert visitor.page.get_by_label("Security code").input_value() == ""
    assert shop.get("/v1/subscriptions", status="all")["data"] == []
    visitor.type_card("4242 4242 4242 4242")
    visitor.press("Subscribe and pay")
    _assert_paid(shop, visitor, session["id"], 5_800)


def test_a_bank_asks_who_it_is(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    visitor.type(Email="ada@example.com")
    visitor.type_card("4000 0000 0000 3220")
    visitor.press("Subscribe and pay")
    assert visitor.reads("Your bank asks if this is you")
    assert visitor.reads("$58.00")
    visitor.press("Fail")
    assert "unable to authenticate" in visitor.page.get_by_role("alert").inner_text()
    assert shop.get("/v1/subscriptions", status="all")["data"] == []
    visitor.press("3220")
    visitor.press("Complete")
    _assert_paid(shop, visitor, session["id"], 5_800)


def test_a_promotion_code_takes_something_off(shop: Shop, visitor: Visitor) -> None:
    shop.code("SPRING25", 25)
    session = shop.checkout(allow_promotion_codes="true")
    visitor.open(session["url"])
    visitor.type(Promotion_code="AUTUMN")
    visitor.press("Apply")
    assert "AUTUMN" in visitor.page.get_by_role("alert").inner_text()
    visitor.type(Promotion_code="spring25")
    visitor.press("Apply")
    for words in ("Promotion code SPRING25", "−$14.50", "$43.50"):
        assert visitor.reads(words)
    visitor.press("Remove the code SPRING25")
    assert not visitor.page.get_by_text("$43.50").count()
    visitor.type(Promotion_code="SPRING25")
    visitor.press("Apply")
    visitor.press("4242")
    _assert_paid(shop, visitor, session["id"], 4_350)


def test_who_goes_back_has_bought_nothing(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    visitor.open(session["url"])
    visitor.page.get_by_role("link", name="Back without subscribing").click()
    assert visitor.page.url == f"{shop.url}/back"
    assert shop.get(f"/v1/checkout/sessions/{session['id']}")["status"] == "open"


def test_an_ended_or_unknown_page_says_so(shop: Shop, visitor: Visitor) -> None:
    session = shop.checkout()
    shop.post(f"/v1/checkout/sessions/{session['id']}/expire")
    visitor.open(session["url"])
    assert visitor.reads("This page has expired")
    visitor.open(session["url"].replace(session["id"], "cs_test_nobody"))
    assert visitor.reads("There is no such page")
