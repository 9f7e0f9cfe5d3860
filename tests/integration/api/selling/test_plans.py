from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.api.selling.shop import METER, TEAM, Shop, error_of
from tests.integration.api.selling.subscribers import writes_at_stripe
from tests.integration.api.service import Service


def test_a_draft_is_not_for_sale_until_it_is_activated(shop: Shop, service: Service) -> None:
    created = shop.client.post("/api/v1/plans", json=TEAM)
    assert created.status_code == 201
    draft = created.json()
    assert (draft["state"], draft["version"], draft["stripe_prices"]) == ("draft", 1, {})
    with service.client() as anybody:
        public = {"organization": shop.slug}
        assert anybody.get("/api/v1/plans", params=public).json()["data"] == []
        assert error_of(anybody.get("/api/v1/plans/team", params=public)) == (404, "PLAN_NOT_FOUND")
        assert error_of(anybody.get(f"/api/v1/plans/{draft['id']}")) == (404, "PLAN_NOT_FOUND")

        active = shop.client.post("/api/v1/plans/team/activate").json()
        assert (active["state"], active["id"]) == ("active", draft["id"])
        assert shop.client.post("/api/v1/plans/team/activate").json() == active

        shown = anybody.get("/api/v1/plans/team", params=public).json()
        assert shown == {**active, "stripe_product_id": None, "stripe_prices": None}
        assert anybody.get("/api/v1/plans", params=public).json()["data"] == [shown]
        assert anybody.get(f"/api/v1/plans/{draft['id']}").json() == shown
    assert set(active["stripe_prices"]) == {"base", "seats", "calls"}
    seats = shop.stripe_price(active["stripe_prices"]["seats"])
    assert (seats["unit_amount"], seats["currency"], seats["active"]) == (1200, "usd", True)


def test_amounts_are_told_in_minor_units(shop: Shop) -> None:
    prices = {price["slug"]: price for price in shop.sell()["prices"]}
    assert prices["seats"]["currencies"]["eur"]["amount_minor"] == 1100
    calls = prices["calls"]["currencies"]["usd"]
    assert (calls["amount_minor"], calls["amount_decimal"]) == (None, "0.04")
    assert prices["calls"]["meter"] == {"slug": "api_calls", "aggregation": "SUM"}


EVERY_KIND = [
    {"slug": "flat", "kind": "flat", "interval": "month",
     "currencies": {"usd": {"amount": "49"}, "jpy": {"amount": "7200"}}},
    {"slug": "seat", "kind": "per_seat", "interval": "month", "included_quantity": 3,
     "currencies": {"usd": {"amount": "12.50", "minimum": "5", "maximum": "900.00"}, "jpy": {"amount": "1800"}}},
    {"slug": "calls", "kind": "per_unit", "interval": "month", "meter": {"slug": "api_calls", "aggregation": "SUM"},
     "currencies": {"usd": {"amount": "0.0004"}, "jpy": {"amount": "0.06"}}},
    {"slug": "storage", "kind": "graduated", "interval": "month",
     "currencies": {"usd": {"tiers": [{"up_to": 100, "flat_amount": "2"}, {"unit_amount": "0.085"}]},
                    "jpy": {"tiers": [{"unit_amount": "12"}]}}},
    {"slug": "users", "kind": "volume", "interval": "month",
     "currencies": {"usd": {"tiers": [{"unit_amount": "0.06"}]}, "jpy": {"tiers": [{"unit_amount": "9"}]}}},
    {"slug": "exports", "kind": "package", "interval": "month", "package_size": 25,
     "currencies": {"usd": {"amount": "8"}, "jpy": {"amount": "1200"}}},
]  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"prices": EVERY_KIND, "product": "suite"}], ids=["team", "every_kind"])
def test_what_is_answered_may_be_sent_back_and_changes_nothing(shop: Shop, changes: dict[str, Any]) -> None:
    plan = shop.sell(**changes)
    calls = len(shop.stripe.calls())
    shown = shop.client.get("/api/v1/plans/team").json()
    names = ("name", "description", "product", "trial_days", "metadata", "features", "prices")
    again = shop.client.patch("/api/v1/plans/team", json={name: shown[name] for name in names})
    assert again.status_code == 200, again.text
    assert again.json() == shown == plan
    assert [path for path in writes_at_stripe(shop, calls) if path.startswith("/v1/prices")] == []
    shown["prices"][0]["currencies"]["usd"]["amount"] = "50.00"
    answer = shop.client.patch("/api/v1/plans/team", json={"prices": shown["prices"]})
    assert (answer.status_code, "send both alike" in answer.text) == (400, True)


def test_other_prices_make_a_new_version_and_the_old_one_keeps_its_terms(shop: Shop) -> None:
    first = shop.sell()
    amounts = {"currencies": {"usd": {"amount": "15.00"}, "eur": {"amount": "14.00"}}}
    dearer = [{**price, **amounts} if price["slug"] == "seats" else price for price in TEAM["prices"]]
    second = shop.client.patch("/api/v1/plans/team", json={"prices": dearer[:2]}).json()
    assert (second["version"], second["state"], second["name"]) == (2, "active", "Team")
    assert second["id"] != first["id"]
    assert second["stripe_prices"]["base"] == first["stripe_prices"]["base"]
    assert second["stripe_prices"]["seats"] != first["stripe_prices"]["seats"]

    old = shop.client.get(f"/api/v1/plans/{first['id']}").json()
    assert (old["state"], old["prices"]) == ("archived", first["prices"])
    assert shop.client.get("/api/v1/plans/team").json() == second
    sold = {slug: shop.stripe_price(price)["active"] for slug, price in first["stripe_prices"].items()}
    assert sold == {"base": True, "seats": False, "calls": False}
    listed = shop.client.get("/api/v1/plans", params={"state": ["active", "archived", "draft"]}).json()["data"]
    assert [(plan["version"], plan["state"]) for plan in listed] == [(1, "archived"), (2, "active")]


def test_names_change_in_place(shop: Shop) -> None:
    first = shop.sell()
    renamed = shop.client.patch("/api/v1/plans/team", json={"name": "Squad", "description": "New."}).json()
    assert renamed == {**first, "name": "Squad", "description": "New."}
    (product,) = [each for each in shop.stripe.objects("product") if each["id"] == first["stripe_product_id"]]
    assert product["name"] == "Squad"


def test_a_price_that_somebody_archived_at_stripe_comes_back_with_the_next_change(shop: Shop) -> None:
    first = shop.sell()
    gone = first["stripe_prices"]["seats"]
    shop.stripe.control.post(f"/v1/prices/{gone}", data={"active": "false"}).raise_for_status()
    second = shop.client.patch("/api/v1/plans/team", json={"name": "Squad"}).json()
    assert (second["version"], second["name"], second["prices"]) == (2, "Squad", first["prices"])
    assert {**second["stripe_prices"], "seats": gone} == first["stripe_prices"]
    assert all(shop.stripe_price(price)["active"] for price in second["stripe_prices"].values())


def test_a_draft_changes_in_place(shop: Shop) -> None:
    draft = shop.client.post("/api/v1/plans", json=TEAM).json()
    changed = shop.client.patch("/api/v1/plans/team", json={"trial_days": 7, "prices": TEAM["prices"][:1]}).json()
    assert (changed["id"], changed["version"], changed["trial_days"]) == (draft["id"], 1, 7)
    assert [price["slug"] for price in changed["prices"]] == ["base"]


def test_an_archived_plan_is_sold_no_more_and_its_slug_may_come_back(shop: Shop, service: Service) -> None:
    plan = shop.sell()
    archived = shop.client.delete("/api/v1/plans/team").json()
    assert archived["state"] == "archived"
    assert shop.client.delete("/api/v1/plans/team").json() == archived
    assert not any(shop.stripe_price(price)["active"] for price in plan["stripe_prices"].values())
    with service.client() as anybody:
        assert anybody.get("/api/v1/plans", params={"organization": shop.slug}).json()["data"] == []
    assert error_of(shop.client.patch("/api/v1/plans/team", json={"name": "T"})) == (422, "PLAN_ARCHIVED")
    assert error_of(shop.client.post("/api/v1/plans/team/activate")) == (422, "PLAN_ARCHIVED")
    again = shop.sell()
    assert (again["version"], again["state"]) == (2, "active")
    assert all(shop.stripe_price(price)["active"] for price in again["stripe_prices"].values())
    assert shop.client.delete(f"/api/v1/plans/{plan['id']}").json()["state"] == "archived"
    assert all(shop.stripe_price(price)["active"] for price in again["stripe_prices"].values())


def test_lists_are_narrowed_and_paged(shop: Shop) -> None:
    yearly = [{"slug": "base", "kind": "flat", "interval": "year", "currencies": {"usd": {"amount": "490"}}}]
    shop.sell(slug="a")
    shop.sell(slug="b", prices=yearly)
    shop.sell(slug="c")

    def slugs(**query: Any) -> list[str]:
        return [plan["slug"] for plan in shop.client.get("/api/v1/plans", params=query).json()["data"]]

    assert slugs() == ["a", "b", "c"]
    assert slugs(currency="eur") == ["a", "c"]
    assert slugs(interval="year") == ["b"]
    assert slugs(interval="year", currency="eur") == []
    first = shop.client.get("/api/v1/plans", params={"limit": 2}).json()
    assert first["has_more"]
    assert slugs(limit=2, cursor=first["next_cursor"]) == ["c"]


def test_whose_plans_must_be_known(shop: Shop, service: Service, operator: httpx.Client) -> None:
    with service.client() as anybody:
        assert error_of(anybody.get("/api/v1/plans")) == (400, "INVALID_INPUT")
        unknown = anybody.get("/api/v1/plans", params={"organization": "nobody"})
        assert error_of(unknown) == (404, "ORGANIZATION_NOT_FOUND")
        drafts = {"organization": shop.slug, "state": "draft"}
        assert error_of(anybody.get("/api/v1/plans", params=drafts)) == (401, "AUTHENTICATION_REQUIRED")
        assert error_of(operator.get("/api/v1/plans", params=drafts)) == (403, "INSUFFICIENT_PERMISSIONS")
    with service.client("ms_wrong") as stranger:
        assert error_of(stranger.get("/api/v1/plans", params={"organization": shop.slug})) == (401, "INVALID_TOKEN")


def test_another_organization_reads_what_is_sold_and_changes_nothing(shop: Shop, globex: httpx.Client) -> None:
    plan = shop.sell()
    shop.client.post("/api/v1/plans", json={**TEAM, "slug": "secret"}).raise_for_status()
    assert globex.get(f"/api/v1/plans/{plan['id']}").json()["stripe_prices"] is None
    assert globex.get("/api/v1/plans").json()["data"] == []
    path = f"/api/v1/plans/{plan['id']}"
    for refused in (globex.patch(path, json={"name": "Mine"}), globex.delete(path), globex.post(f"{path}/activate")):
        assert error_of(refused) == (404, "PLAN_NOT_FOUND")
    assert error_of(globex.get("/api/v1/plans/secret", params={"organization": shop.slug})) == (404, "PLAN_NOT_FOUND")
    assert shop.client.get("/api/v1/plans/team").json() == plan


def test_organizations_with_names_alike_have_plans_of_their_own(service: Service) -> None:
    """`a-b` with plan `c`, and `a` with plan `b-c`, must not share a product at Stripe."""
    with service.client(service.key("a-b")) as one, service.client(service.key("a")) as other:
        for client in (one, other):
            client.post("/api/v1/meters", json=METER).raise_for_status()
        first = one.post("/api/v1/plans", json={**TEAM, "slug": "c", "activate": True}).json()
        second = other.post("/api/v1/plans", json={**TEAM, "slug": "b-c", "activate": True}).json()
    assert first["stripe_product_id"] != second["stripe_product_id"]
    assert set(first["stripe_prices"].values()).isdisjoint(second["stripe_prices"].values())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "nul\x00"}, "body"),
        ({"prices": []}, "prices"),
        ({"trial_days": 731}, "trial_days"),
        ({"trial_days": "14"}, "trial_days"),
        ({"prices": [{**TEAM["prices"][0], "currencies": {"xxx": {"amount": "1"}}}]}, "prices[0].currencies.xxx"),
        ({"prices": [{**TEAM["prices"][0], "kind": "free"}]}, "prices.0.kind"),
        ({"prices": [{**TEAM["prices"][2], "meter": {"slug": "m", "aggregation": "AVG"}}]}, "prices[0].meter"),
        ({"prices": [TEAM["prices"][0], TEAM["prices"][0]]}, "prices[1].slug"),
        ({"version": 3}, "version"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_sold_is_refused_with_the_field(shop: Shop, changes: dict[str, Any], field: str) -> None:
    before = len(shop.stripe.calls())
    answer = shop.client.post("/api/v1/plans", json={**TEAM, "activate": True, **changes})
    assert answer.status_code == 400, answer.text
    details = answer.json()["error"]["details"]
    assert details["field"].startswith(field), answer.text
    assert details["problems"][0]["field"] == details["field"]
    assert details["problems"][0]["message"] in answer.json()["error"]["message"]
    assert shop.client.get("/api/v1/plans", params={"state": ["draft", "active"]}).json()["data"] == []
    assert len(shop.stripe.calls()) == before


def test_usage_is_sold_only_by_meters_that_count_so(shop: Shop) -> None:
    def calls(slug: str, meter: str, aggregation: str) -> dict[str, Any]:
        return {**TEAM["prices"][2], "slug": slug, "meter": {"slug": meter, "aggregation": aggregation}}

    bad = [calls("a", "nometer", "SUM"), calls("b", "api_calls", "COUNT"), calls("c", "api_calls", "SUM")]
    shop.client.post("/api/v1/plans", json={**TEAM, "slug": "sold", "prices": bad[2:]}).raise_for_status()
    before = len(shop.stripe.calls())
    for refused in (
        shop.client.post("/api/v1/plans", json={**TEAM, "prices": bad}),
        shop.client.post("/api/v1/plans", json={**TEAM, "prices": bad, "activate": True}),
        shop.client.patch("/api/v1/plans/sold", json={"prices": bad}),
    ):
        assert error_of(refused) == (422, "PRICE_METER_UNFIT")
        error = refused.json()["error"]
        assert "no meter 'nometer'" in error["message"]
        assert "counts by SUM, not COUNT" in error["message"]
        assert [problem["field"] for problem in error["details"]["problems"]] == ["prices[0].meter", "prices[1].meter"]
    shop.client.delete("/api/v1/meters/api_calls").raise_for_status()
    archived = shop.client.post("/api/v1/plans/sold/activate")
    assert error_of(archived) == (422, "PRICE_METER_UNFIT")
    assert "archived" in archived.json()["error"]["message"]
    assert len(shop.stripe.calls()) == before
    # What is billed already may be renamed.
    assert shop.client.patch("/api/v1/plans/sold", json={"name": "Calls"}).json()["name"] == "Calls"


def test_exact_amounts_survive_as_numbers_too(shop: Shop) -> None:
    prices = [{**TEAM["prices"][2], "currencies": {"usd": {"amount": 0.0000001}}}]
    plan = shop.sell(prices=prices)
    assert plan["prices"][0]["currencies"]["usd"]["amount_decimal"] == "0.00001"
    assert shop.client.get("/api/v1/plans/team").json() == plan


def test_a_slug_in_use_is_refused_without_a_word_to_stripe(shop: Shop) -> None:
    plan = shop.sell()
    before = len(shop.stripe.calls())
    assert error_of(shop.client.post("/api/v1/plans", json={**TEAM, "activate": True})) == (409, "PLAN_EXISTS")
    assert error_of(shop.client.post("/api/v1/plans", json=TEAM)) == (409, "PLAN_EXISTS")
    assert len(shop.stripe.calls()) == before
    assert shop.client.get("/api/v1/plans/team").json() == plan


@pytest.mark.parametrize("path", ["/v1/products", "/v1/prices"])
def test_while_stripe_is_down_nothing_is_begun_and_a_repetition_finishes_it(shop: Shop, path: str) -> None:
    headers = {"Idempotency-Key": "launch"}
    shop.stripe_down(path=path, method="POST")
    refused = shop.client.post("/api/v1/plans", json={**TEAM, "activate": True}, headers=headers)
    assert error_of(refused) == (503, "UNAVAILABLE")
    assert int(refused.headers["Retry-After"]) >= 1
    assert shop.client.get("/api/v1/plans", params={"state": ["draft", "active"]}).json()["data"] == []
    shop.stripe_up()
    plan = shop.client.post("/api/v1/plans", json={**TEAM, "activate": True}, headers=headers)
    assert plan.status_code == 201

    shop.stripe_down()
    for refused in (
        shop.client.patch("/api/v1/plans/team", json={"prices": TEAM["prices"][:1]}),
        shop.client.delete("/api/v1/plans/team"),
    ):
        assert error_of(refused) == (503, "UNAVAILABLE")
    assert shop.client.get("/api/v1/plans/team").json() == plan.json()


def test_of_two_changes_at_once_one_wins_and_what_is_sold_can_be_bought(shop: Shop) -> None:
    shop.sell()

    def change(amount: str) -> httpx.Response:
        prices = [{**TEAM["prices"][0], "currencies": {"usd": {"amount": amount}}}]
        return shop.client.patch("/api/v1/plans/team", json={"prices": prices})

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(change, ["1.00", "2.00", "3.00", "4.00"]))
    assert {answer.status_code for answer in answers} <= {200, 409}
    won = [answer for answer in answers if answer.status_code == 200]
    assert won
    assert {error_of(answer) for answer in answers if answer not in won} <= {(409, "PLAN_CHANGED")}
    plan = shop.client.get("/api/v1/plans/team").json()
    price = shop.stripe_price(plan["stripe_prices"]["base"])
    assert price["active"]
    assert price["unit_amount"] == plan["prices"][0]["currencies"]["usd"]["amount_minor"]


def test_every_write_is_written_down(shop: Shop, service: Service) -> None:
    shop.client.post("/api/v1/plans", json=TEAM).raise_for_status()
    shop.client.post("/api/v1/plans/team/activate").raise_for_status()
    shop.client.patch("/api/v1/plans/team", json={"trial_days": 0}).raise_for_status()
    shop.client.delete("/api/v1/plans/team").raise_for_status()
    rows = service.sql(
        "select action, actor, before ->> 'trial_days', after ->> 'trial_days' from audit_log"
        " where organization_id = %s and action like 'plan.%%' order by id",
        service.organization_id(shop.slug),
    )
    assert [row[0] for row in rows] == ["plan.create", "plan.activate", "plan.change", "plan.archive"]
    assert all(row[1].startswith("key ms_") for row in rows)
    assert rows[2][2:] == ("14", "0")
