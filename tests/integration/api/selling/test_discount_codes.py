from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.people import someone
from tests.integration.api.selling.shop import TEAM, Shop, error_of
from tests.integration.api.service import Service

CODES = "/api/v1/discount-codes"


def offer(shop: Shop, **fields: Any) -> dict[str, Any]:
    body = {"code": "LAUNCH", "percent_off": "20", **fields}
    answer = shop.client.post(CODES, json={name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 201, answer.text
    code: dict[str, Any] = answer.json()
    return code


def validate(client: httpx.Client, code: str = "LAUNCH", **fields: Any) -> httpx.Response:
    return client.post(f"{CODES}/validate", json={"code": code, "plan": "team", **fields})


def test_a_code_is_created_shown_renamed_and_archived(shop: Shop) -> None:
    shop.sell()
    code = offer(shop, percent_off="12.50", plans=["team"], max_redemptions=10, redeem_by="2099-01-01T00:00:00+02:00")
    assert (code["percent_off"], code["amounts_off"], code["duration"], code["plans"]) == (
        "12.5",
        None,
        "once",
        ["team"],
    )
    assert code["redeem_by"] == "2098-12-31T22:00:00Z"
    path = f"{CODES}/{code['id']}"
    assert shop.client.get(path).json() == code
    assert shop.client.get(CODES).json()["data"] == [code]
    assert shop.client.patch(path, json={"name": "Launch"}).json() == {**code, "name": "Launch"}
    assert error_of(shop.client.patch(path, json={"percent_off": "50"})) == (400, "SCHEMA_VALIDATION")
    (held,) = [each for each in shop.stripe.objects("promotion_code") if each["id"] == code["stripe_promotion_code_id"]]
    assert (held["active"], held["max_redemptions"]) == (True, 10)

    archived = shop.client.delete(path).json()
    assert archived["state"] == "archived"
    assert shop.client.delete(path).json() == archived
    rows = shop.client.get("/api/v1/audit-log", params={"target": code["id"]}).json()["data"]
    told = [
        (row["action"].partition(".")[2], row["before"] and (row["before"]["name"], row["before"]["state"]))
        for row in rows
    ]
    assert told == [("archive", ("Launch", "active")), ("rename", (code["name"], "active")), ("create", None)]
    assert shop.client.get(CODES).json()["data"] == []
    assert shop.client.get(CODES, params={"state": "all"}).json()["data"] == [archived]
    (held,) = [each for each in shop.stripe.objects("promotion_code") if each["id"] == code["stripe_promotion_code_id"]]
    assert not held["active"]
    assert offer(shop)["id"] != code["id"]


def test_what_a_code_takes_off_is_told_and_taken_off(shop: Shop) -> None:
    shop.sell(trial_days=0)
    offer(shop)
    assert validate(shop.client, "launch", quantity=3).json() == {
        "code": "LAUNCH",
        "percent_off": "20",
        "amount_off_minor": None,
        "duration": "once",
        "duration_months": None,
        "currency": "usd",
        "subtotal_minor": 4900 + 3 * 1200,
        "discount_minor": 1700,
        "total_minor": 6800,
    }
    customer = shop.customer()["id"]
    checkout = shop.checkout(customer_id=customer, quantity=3, discount_code="Launch").json()
    (session,) = [
        each for each in shop.stripe.objects("checkout.session") if each["client_reference_id"] == checkout["id"]
    ]
    assert (session["amount_subtotal"], session["amount_total"]) == (8500, 6800)


def test_amounts_are_taken_off_in_the_currency_of_the_purchase(shop: Shop) -> None:
    shop.sell()
    offer(shop, percent_off=None, amounts_off={"usd": 500, "eur": 99_000}, duration="repeating", duration_months=3)
    assert validate(shop.client).json()["discount_minor"] == 500
    euros = validate(shop.client, currency="eur").json()
    assert (euros["subtotal_minor"], euros["discount_minor"], euros["total_minor"]) == (5600, 5600, 0)
    assert (euros["amount_off_minor"], euros["duration_months"]) == (99_000, 3)


def test_each_reason_against_a_code_has_its_own_name(shop: Shop, service: Service) -> None:
    shop.sell(trial_days=0)
    shop.sell(slug="other")
    assert error_of(validate(shop.client)) == (404, "DISCOUNT_CODE_UNKNOWN")
    offer(shop, code="TEAM", plans=["other"])
    assert error_of(validate(shop.client, "TEAM")) == (422, "DISCOUNT_CODE_NOT_FOR_PLAN")
    offer(shop, code="USD", percent_off=None, amounts_off={"usd": 500})
    assert error_of(validate(shop.client, "USD", currency="eur")) == (422, "DISCOUNT_CODE_NOT_FOR_CURRENCY")
    over = offer(shop, code="OVER", redeem_by="2099-01-01T00:00:00Z")
    service.sql("update discount_codes set redeem_by = now() where id = %s", over["id"])
    assert error_of(validate(shop.client, "OVER")) == (422, "DISCOUNT_CODE_EXPIRED")
    offer(shop, code="ONCE", max_redemptions=1)
    first = shop.checkout(customer_id=shop.customer()["id"], discount_code="ONCE").json()
    shop.pay(first["url"])
    assert error_of(validate(shop.client, "ONCE")) == (422, "DISCOUNT_CODE_EXHAUSTED")
    for code, refusal in (
        ("TEAM", "DISCOUNT_CODE_NOT_FOR_PLAN"),
        ("OVER", "DISCOUNT_CODE_EXPIRED"),
        ("ONCE", "DISCOUNT_CODE_EXHAUSTED"),
    ):
        assert error_of(shop.checkout(customer_id=shop.customer()["id"], discount_code=code)) == (422, refusal)


def test_a_plan_may_be_named_by_its_version(shop: Shop) -> None:
    plan = shop.sell(trial_days=0)
    assert offer(shop, plans=[plan["id"], "team"])["plans"] == ["team"]
    assert validate(shop.client).json()["discount_minor"] == 1220
    shop.client.patch("/api/v1/plans/team", json={"trial_days": 3}).raise_for_status()
    assert validate(shop.client).status_code == 200, "it is for the plan, in whatever version"


@pytest.mark.parametrize("redeem_by", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_an_instant_that_utc_has_not_is_refused(shop: Shop, redeem_by: str) -> None:
    refused = shop.client.post(CODES, json={"code": "EVER", "percent_off": "20", "redeem_by": redeem_by})
    assert (error_of(refused), refused.json()["error"]["details"]["field"]) == ((400, "SCHEMA_VALIDATION"), "redeem_by")


def test_end_users_try_codes_and_do_not_list_them(shop: Shop, service: Service, globex: httpx.Client) -> None:
    shop.sell()
    code = offer(shop)
    with someone(service).client() as client:
        assert validate(client, organization=shop.slug).json()["discount_minor"] == 1220
        assert error_of(client.get(CODES)) == (403, "INSUFFICIENT_PERMISSIONS")
    path = f"{CODES}/{code['id']}"
    for refused in (globex.get(path), globex.patch(path, json={"name": "x"}), globex.delete(path)):
        assert error_of(refused) == (404, "DISCOUNT_CODE_NOT_FOUND")
    assert globex.get(CODES).json()["data"] == []


def test_organizations_may_have_codes_of_one_name(shop: Shop, service: Service) -> None:
    mine = offer(shop, code="WELCOME_2026")
    with service.client(service.key(f"{shop.slug}-b")) as other:
        theirs = other.post(CODES, json={"code": "welcome_2026", "percent_off": 5})
    assert theirs.status_code == 201
    assert theirs.json()["stripe_promotion_code_id"] != mine["stripe_promotion_code_id"]
    again = shop.client.post(CODES, json={"code": "Welcome_2026", "percent_off": 5})
    assert error_of(again) == (409, "DISCOUNT_CODE_EXISTS")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "no spaces"}, "code"),
        ({"percent_off": 0}, "percent_off"),
        ({"percent_off": "100.01"}, "percent_off"),
        ({"percent_off": "1.001"}, "percent_off"),
        ({"amounts_off": {"usd": 1}}, "percent_off"),
        ({"percent_off": None, "amounts_off": {"usd": 0}}, "amounts_off.usd"),
        ({"percent_off": None, "amounts_off": {"xxx": 5}}, "amounts_off"),
        ({"duration": "repeating"}, "months"),
        ({"duration_months": 2}, "months"),
        ({"redeem_by": "2020-01-01T00:00:00Z"}, "redeem_by"),
        ({"redeem_by": "2099-01-01T00:00:00"}, "redeem_by"),
        ({"max_redemptions": 0}, "max_redemptions"),
    ],
)
def test_a_code_that_cannot_be_is_refused_with_the_field(shop: Shop, body: dict[str, Any], field: str) -> None:
    answer = shop.client.post(CODES, json={"code": "X", "percent_off": "5", **body})
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field), answer.text
    assert shop.client.get(CODES).json()["data"] == []


def test_codes_are_for_plans_that_are_sold(shop: Shop) -> None:
    shop.client.post("/api/v1/plans", json=TEAM).raise_for_status()
    for plan, refusal in (("team", (422, "PLAN_NOT_ACTIVE")), ("none", (404, "PLAN_NOT_FOUND"))):
        answer = shop.client.post(CODES, json={"code": "X", "percent_off": "5", "plans": [plan]})
        assert error_of(answer) == refusal


def test_while_stripe_is_down_codes_are_tried_and_not_made(shop: Shop) -> None:
    shop.sell()
    limited = offer(shop, max_redemptions=5)
    headers, body = {"Idempotency-Key": "code"}, {"code": "NEW", "percent_off": "5"}
    for path in ("/v1/promotion_codes", "/v1"):
        shop.stripe_down(path=path)
        assert error_of(shop.client.post(CODES, json=body, headers=headers)) == (503, "UNAVAILABLE")
        assert shop.client.get(CODES).json()["data"] == [limited]
    assert error_of(shop.client.delete(f"{CODES}/{limited['id']}")) == (503, "UNAVAILABLE")
    assert validate(shop.client).status_code == 200
    shop.stripe_up()
    made = shop.client.post(CODES, json=body, headers=headers)
    assert made.status_code == 201
    assert [each["id"] for each in shop.client.get(CODES).json()["data"]] == [made.json()["id"], limited["id"]]
