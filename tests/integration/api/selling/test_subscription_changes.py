"""Plan, interval and quantity of a subscription become others: at once as previewed, or with the next period."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import (
    HANGS_S,
    SEATS,
    SOLO,
    act,
    at_stripe,
    change,
    keyed,
    look,
    pay_with,
    repeated,
    subscribe,
)

pytestmark = pytest.mark.integration


def invoices_at_stripe(shop: Shop, subscription: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all invoices of a subscription's customer."""
    customer = at_stripe(shop, subscription)["customer"]
    return [each for each in shop.stripe.objects("invoice") if each["customer"] == customer]


def preview(shop: Shop, subscription: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Return what a change would bring."""
    answer = shop.client.post(f"/api/v1/subscriptions/{subscription['id']}/preview", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def history(shop: Shop, subscription: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of a history, newest first."""
    found: list[dict[str, Any]] = shop.client.get(f"/api/v1/subscriptions/{subscription['id']}/changes").json()["data"]
    return found


def invoices(shop: Shop, subscription: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the invoices of a subscription, newest first."""
    params = {"subscription_id": subscription["id"]}
    found: list[dict[str, Any]] = shop.client.get("/api/v1/invoices", params=params).json()["data"]
    return found


def lines(shop: Shop, invoice: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what an invoice's lines say."""
    found = shop.client.get(f"/api/v1/invoices/{invoice['id']}/lines").json()["data"]
    return said(found)


def said(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what lines say, without their ids."""
    names = ("description", "amount_minor", "quantity", "proration", "period_start", "period_end")
    return [tuple(line[name] for name in names) for line in found]


@pytest.mark.parametrize("body", [{"plan": "team"}, {"plan": "seats", "quantity": 7}])
def test_an_upgrade_bills_exactly_what_its_preview_showed(shop: Shop, body: dict[str, Any]) -> None:
    shop.sell(**{**SOLO, "prices": [*SOLO["prices"][:1]]})
    shop.sell(**SEATS)
    shop.sell(trial_days=0)
    made = subscribe(shop, "solo")
    wanted = {**body, "proration": "invoice_now"}
    shown = preview(shop, made, **wanted)
    assert shop.client.get(f"/api/v1/subscriptions/{made['id']}").json() == made, "a preview changes nothing"
    answer = change(shop, made, **wanted, proration_at=shown["proration_at"], reason="Grew")
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["plan"]["slug"], changed["quantity"]) == (body["plan"], body.get("quantity", 1))
    by_reason = {invoice["billing_reason"]: invoice for invoice in invoices(shop, made)}
    billed = by_reason["subscription_update"]
    assert (by_reason["subscription_create"]["total_minor"], billed["status"]) == (2000, "paid")
    for name in ("subtotal_minor", "discount_minor", "tax_minor", "total_minor", "amount_due_minor", "currency"):
        assert billed[name] == shown[name], name
    assert shown["total_minor"] > 0
    assert lines(shop, billed) == said(shown["lines"])
    assert {line["proration"] for line in shown["lines"]} == {True}
    newest = history(shop, made)[0]
    assert (newest["kind"], newest["reason"]) == ("plan_changed", "Grew")
    assert (newest["from"]["plan"], newest["to"]["plan"]) == ("solo", body["plan"])
    assert newest["mrr_delta_minor"] == changed["mrr_minor"] - made["mrr_minor"]
    assert newest["actor"].startswith("key ms_")


def test_prorations_wait_for_the_next_invoice_unless_asked_otherwise(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=2)
    shown = preview(shop, made, quantity=5)
    assert shown["billed_at"] == made["current_period_end"]
    assert change(shop, made, quantity=5).json()["quantity"] == 5
    assert len(invoices(shop, made)) == 1
    coming = shop.client.get(f"/api/v1/subscriptions/{made['id']}/upcoming-invoice").json()
    assert coming["total_minor"] >= 5 * 1200 + 3 * 1200 * 9 // 10
    assert sum(line["proration"] for line in coming["lines"]) == 2
    assert change(shop, made, quantity=6, proration="none").json()["mrr_minor"] == 7200
    coming_then = shop.client.get(f"/api/v1/subscriptions/{made['id']}/upcoming-invoice").json()
    assert coming_then["total_minor"] == coming["total_minor"] + 1200


def test_another_interval_begins_a_period_at_once(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    assert error_of(change(shop, made, interval="year", proration_at=made["created_at"])) == (400, "INVALID_INPUT")
    changed = change(shop, made, interval="year", proration="invoice_now").json()
    assert (changed["interval"], changed["interval_count"], changed["mrr_minor"]) == ("year", 1, 1667)
    assert changed["current_period_end"] > made["current_period_end"]
    (billed,) = [each for each in invoices(shop, made) if each["billing_reason"] == "subscription_update"]
    assert billed["status"] == "paid"
    assert 20000 - 2000 <= billed["total_minor"] < 20000


def test_a_downgrade_waits_for_the_next_period_and_can_be_withdrawn(shop: Shop) -> None:
    shop.sell(**SOLO)
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=9)
    later = {"plan": "solo", "interval": "month", "timing": "next_billing_cycle"}
    assert preview(shop, made, **later)["total_minor"] == 2000
    scheduled = change(shop, made, **later, reason="Shrank").json()
    assert (scheduled["plan"]["slug"], scheduled["quantity"], scheduled["mrr_minor"]) == ("seats", 9, 10800)
    coming = scheduled["scheduled_change"]
    assert (coming["effective_at"], coming["quantity"]) == (made["current_period_end"], 1)
    assert (coming["plan"]["slug"], coming["interval"], coming["interval_count"]) == ("solo", "month", 1)
    line = history(shop, made)[0]
    assert (line["kind"], line["reason"], line["from"]) == ("change_scheduled", "Shrank", {"scheduled": None})
    told = line["to"]["scheduled"]
    assert (told["plan"], told["interval"], told["quantity"]) == ("solo", coming["interval"], 1)
    assert datetime.fromisoformat(told["effective_at"]) == datetime.fromisoformat(coming["effective_at"])
    # Once more changes nothing, another one replaces it, the present plan withdraws it.
    assert change(shop, made, **later).json()["scheduled_change"] == coming
    fewer = change(shop, made, quantity=4, timing="next_billing_cycle").json()["scheduled_change"]
    assert (fewer["plan"]["slug"], fewer["quantity"]) == ("seats", 4)
    kept = change(shop, made, quantity=9, timing="next_billing_cycle").json()
    assert (kept["scheduled_change"], kept["quantity"]) == (None, 9)
    assert error_of(change(shop, made, quantity=9, timing="next_billing_cycle")) == (422, "NOTHING_TO_CHANGE")
    assert at_stripe(shop, made)["schedule"] is None


def test_an_immediate_change_takes_the_place_of_a_scheduled_one(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=9)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    changed = change(shop, made, quantity=10).json()
    assert (changed["quantity"], changed["scheduled_change"]) == (10, None)


@pytest.mark.parametrize("key", [None, "same"])
def test_a_change_that_was_made_is_repeated_to_withdraw_the_scheduled_one(shop: Shop, key: str | None) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=9)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    shop.stripe_down(path=f"/v1/subscription_schedules/{at_stripe(shop, made)['schedule']}/release")
    path, headers = f"/api/v1/subscriptions/{made['id']}", keyed() if key else {}
    body = {"quantity": 10, "proration": "invoice_now"}
    assert shop.client.patch(path, json=body, headers=headers).status_code == 503
    shop.stripe_up()
    assert at_stripe(shop, made)["items"]["data"][0]["quantity"] == 10
    billed = len(invoices_at_stripe(shop, made))
    done = repeated(lambda: shop.client.patch(path, json=body, headers=headers)).json()
    assert (done["quantity"], done["scheduled_change"]) == (10, None)
    assert len(invoices_at_stripe(shop, made)) == billed
    assert error_of(change(shop, made, quantity=10)) == (422, "NOTHING_TO_CHANGE")


def test_a_declined_card_leaves_a_change_undone(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=1)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    pay_with(shop, made["customer_id"], "pm_card_chargeCustomerFail")
    refused = change(shop, made, quantity=50, proration="invoice_now")
    assert error_of(refused) == (422, "PAYMENT_FAILED")
    assert refused.json()["error"]["details"]["decline_code"] == "generic_decline"
    now = shop.client.get(f"/api/v1/subscriptions/{made['id']}").json()
    assert (now["quantity"], now["status"], now["scheduled_change"]["quantity"]) == (1, "active", 2)
    assert at_stripe(shop, made)["items"]["data"][0]["quantity"] == 1
    assert len(invoices(shop, made)) == 1


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"plan": "seats", "quantity": 3}, (422, "NOTHING_TO_CHANGE")),
        ({"quantity": 3}, (422, "NOTHING_TO_CHANGE")),
        ({"plan": "none"}, (404, "PLAN_NOT_FOUND")),
        ({"plan": "old"}, (422, "PLAN_ARCHIVED")),
        ({"plan": "euro"}, (422, "CURRENCY_NOT_OFFERED")),
        ({"interval": "year"}, (422, "INTERVAL_NOT_OFFERED")),
        ({"quantity": 0}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({"quantity": 10**9}, (422, "QUANTITY_OUT_OF_RANGE")),
        ({}, (400, "INVALID_INPUT")),
        ({"quantity": 4, "timing": "soon"}, (400, "SCHEMA_VALIDATION")),
        ({"quantity": 4, "proration_at": "2020-01-01T00:00:00Z"}, (400, "INVALID_INPUT")),
        ({"quantity": 4, "proration_at": "2020-01-01"}, (400, "SCHEMA_VALIDATION")),
    ],
)
def test_what_cannot_be_changed_is_refused_before_stripe_is_asked(
    shop: Shop, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=3)
    if body.get("plan") == "old":
        shop.sell(**{**SOLO, "slug": "old"})
        shop.client.delete("/api/v1/plans/old").raise_for_status()
    if body.get("plan") == "euro":
        shop.sell(
            **{**SEATS, "slug": "euro", "prices": [{**SEATS["prices"][0], "currencies": {"eur": {"amount": "9"}}}]}
        )
    before = len(shop.stripe.calls())
    assert error_of(change(shop, made, **body)) == refusal
    assert error_of(shop.client.post(f"/api/v1/subscriptions/{made['id']}/preview", json=body)) == refusal
    assert len(shop.stripe.calls()) == before


def test_what_has_ended_or_will_end_is_not_changed(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    act(shop, made, "cancel", {"at": "period_end"})
    refused = change(shop, made, quantity=2, timing="next_billing_cycle")
    assert error_of(refused) == (422, "SUBSCRIPTION_ENDS")
    assert change(shop, made, quantity=2).json()["quantity"] == 2
    act(shop, made, "cancel", {"at": "now"})
    before = len(shop.stripe.calls())
    refused = change(shop, made, quantity=3)
    assert error_of(refused) == (422, "INVALID_STATE_TRANSITION")
    assert refused.json()["error"]["details"] == {"status": "canceled", "action": "change", "allowed": []}
    assert len(shop.stripe.calls()) == before
    upcoming = shop.client.get(f"/api/v1/subscriptions/{made['id']}/upcoming-invoice")
    assert error_of(upcoming) == (404, "NO_UPCOMING_INVOICE")


def test_subscribers_keep_their_version_until_they_are_moved(shop: Shop) -> None:
    first = shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=2)
    dearer = [{**SEATS["prices"][0], "currencies": {"usd": {"amount": "15.00"}}}]
    shop.client.patch("/api/v1/plans/seats", json={"prices": dearer}).raise_for_status()
    # More of what they have, at their price, though that version is sold no more.
    kept = change(shop, made, quantity=3).json()
    assert (kept["plan"]["id"], kept["plan"]["version"], kept["mrr_minor"]) == (first["id"], 1, 3600)
    moved = change(shop, made, plan="seats").json()
    assert (moved["plan"]["version"], moved["quantity"], moved["mrr_minor"]) == (2, 3, 4500)
    assert error_of(change(shop, made, plan=first["id"])) == (422, "PLAN_ARCHIVED")


def test_a_retired_version_sells_no_other_interval_unless_it_is_sold_still(shop: Shop) -> None:
    shop.sell(**SOLO)
    made, other = subscribe(shop, "solo"), subscribe(shop, "solo")
    shop.client.patch("/api/v1/plans/solo", json={"trial_days": 3}).raise_for_status()
    assert change(shop, other, interval="year").json()["interval"] == "year"
    dearer = [{**price, "currencies": {"usd": {"amount": "300.00"}}} for price in SOLO["prices"]]
    shop.client.patch("/api/v1/plans/solo", json={"prices": dearer}).raise_for_status()
    before = len(shop.stripe.calls())
    assert error_of(change(shop, made, interval="year")) == (422, "PLAN_ARCHIVED")
    assert len(shop.stripe.calls()) == before
    assert change(shop, made, plan="solo", interval="year").json()["plan"]["version"] == 3


def test_subscribers_are_moved_to_a_version_that_differs_in_what_it_gives(shop: Shop) -> None:
    shop.sell(**SEATS)
    made, later = subscribe(shop, "seats", quantity=2), subscribe(shop, "seats", quantity=2)
    features = [{"slug": "sso", "name": "Single sign-on"}]
    second = shop.client.patch("/api/v1/plans/seats", json={"features": features}).json()
    assert second["version"] == 2
    assert preview(shop, made, plan="seats")["total_minor"] == 2400
    moved = change(shop, made, plan="seats", reason="Gets it, too")
    assert moved.status_code == 200, moved.text
    assert (moved.json()["plan"]["version"], moved.json()["quantity"]) == (2, 2)
    assert len(invoices(shop, made)) == 1
    line = history(shop, made)[0]
    assert (line["kind"], line["reason"], line["mrr_delta_minor"]) == ("plan_changed", "Gets it, too", 0)
    assert (line["from"], line["to"]) == (
        {"plan": "seats", "plan_version": 1},
        {"plan": "seats", "plan_version": 2},
    )
    # What Stripe says keeps the version, also where nothing of ours remembers it.
    shop.service.sql("update subscriptions set plan_id = null where id = %s", made["id"])
    third = shop.client.patch("/api/v1/plans/seats", json={"features": []}).json()
    assert (third["version"], look(shop, made)["plan"]["version"]) == (3, 2)
    assert error_of(change(shop, made, plan=second["id"])) == (422, "NOTHING_TO_CHANGE")
    scheduled = change(shop, later, plan="seats", timing="next_billing_cycle").json()
    assert (scheduled["plan"]["version"], scheduled["scheduled_change"]["plan"]["version"]) == (1, 3)


@pytest.mark.parametrize("timing", ["immediate", "next_billing_cycle"])
def test_a_change_makes_no_second_subscription_of_a_product(shop: Shop, timing: str) -> None:
    shop.sell(**SOLO)
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    body = {"plan": "solo", "interval": "month", "timing": timing}
    page = shop.checkout(customer_id=made["customer_id"], plan="solo", interval="month").json()
    other = subscribe(shop, "solo", customer=made["customer_id"])
    refused = change(shop, made, **body)
    assert error_of(refused) == (409, "ALREADY_SUBSCRIBED")
    assert refused.json()["error"]["details"]["subscription_id"] == other["id"]
    assert shop.client.get(f"/api/v1/subscriptions/{made['id']}").json()["plan"]["slug"] == "seats"
    act(shop, other, "cancel", {"at": "now"})
    assert shop.client.get(f"/api/v1/checkout/{page['id']}").json()["status"] == "expired"
    page = shop.checkout(customer_id=made["customer_id"], plan="solo", interval="month").json()
    assert change(shop, made, **body).status_code == 200
    assert shop.client.get(f"/api/v1/checkout/{page['id']}").json()["status"] == "expired"


def test_of_two_changes_at_once_one_wins(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    shop.stripe.break_things({"kind": "latency", "path": "/v1/subscriptions", "seconds": 0.6})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda quantity: change(shop, made, quantity=quantity), range(2, 6)))
    winners = [answer for answer in answers if answer.status_code == 200]
    losers = [answer for answer in answers if answer.status_code != 200]
    assert len(winners) >= 1
    assert {error_of(answer) for answer in losers} == {(409, "SUBSCRIPTION_BUSY")}
    shop.stripe_up()
    quantity = at_stripe(shop, made)["items"]["data"][0]["quantity"]
    assert quantity in [answer.json()["quantity"] for answer in winners]
    assert shop.client.get(f"/api/v1/subscriptions/{made['id']}").json()["quantity"] == quantity
    kinds = [line["kind"] for line in history(shop, made)]
    assert kinds.count("quantity_changed") == len(winners)


def test_without_stripe_reads_work_and_writes_change_nothing(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    shop.stripe_down()
    headers, path = keyed(), f"/api/v1/subscriptions/{made['id']}"
    refused = [
        shop.client.patch(path, json={"quantity": 2}, headers=headers),
        shop.client.post(f"{path}/cancel", json={"at": "now"}),
        shop.client.post(f"{path}/pause", json={}),
        shop.client.post(f"{path}/preview", json={"quantity": 2}),
    ]
    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert shop.client.get(path).json() == made
    assert shop.client.get("/api/v1/invoices").status_code == 200
    shop.stripe_up()
    assert at_stripe(shop, made)["items"]["data"][0]["quantity"] == 1
    assert shop.client.patch(path, json={"quantity": 2}, headers=headers).json()["quantity"] == 2


@pytest.mark.parametrize("told", [False, True], ids=["unheard", "webhook"])
def test_a_change_whose_answer_was_lost_is_done_once(shop: Shop, told: bool) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    headers, path = keyed(), f"/api/v1/subscriptions/{made['id']}"
    body = {"quantity": 4, "proration": "invoice_now", "reason": "Grew"}
    at = f"/v1/subscriptions/{made['stripe_subscription_id']}"
    shop.stripe.break_things({"kind": "hang_after", "path": at, "method": "POST", "seconds": HANGS_S})
    assert shop.client.patch(path, json=body, headers=headers).status_code == 503
    shop.stripe_up()
    assert at_stripe(shop, made)["items"]["data"][0]["quantity"] == 4
    if told:
        assert look(shop, made)["quantity"] == 4
    done = repeated(lambda: shop.client.patch(path, json=body, headers=headers))
    assert (done.status_code, done.json()["quantity"]) == (200, 4)
    assert (
        len([each for each in shop.stripe.objects("invoice") if each["customer"] == at_stripe(shop, made)["customer"]])
        == 2
    )
    again = shop.client.patch(path, json=body, headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (done.json(), "true")


def test_the_history_goes_on_from_a_cursor(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    for quantity in (2, 3):
        change(shop, made, quantity=quantity).raise_for_status()
    path = f"/api/v1/subscriptions/{made['id']}/changes"
    first = shop.client.get(path, params={"limit": 2}).json()
    rest = shop.client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert first["data"] + rest["data"] == history(shop, made)
    assert [line["kind"] for line in history(shop, made)] == ["quantity_changed", "quantity_changed", "created"]
    assert sum(line["mrr_delta_minor"] for line in history(shop, made)) == 3600


def test_what_was_done_is_in_the_audit_log(shop: Shop) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats")
    change(shop, made, quantity=2).raise_for_status()
    rows = shop.service.sql(
        "select action, before ->> 'quantity', after ->> 'quantity' from audit_log where target_id = %s order by id",
        made["id"],
    )
    assert rows == [("subscription.create", None, "1"), ("subscription.change", "1", "2")]
