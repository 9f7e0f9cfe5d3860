"""Subscriptions are cancelled and kept, paused and resumed, and their trials are moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
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


def ask(shop: Shop, subscription: dict[str, Any], action: str, **body: Any) -> httpx.Response:
    """Ask for something that may be refused."""
    return shop.client.post(f"/api/v1/subscriptions/{subscription['id']}/{action}", json=body)


def kinds(shop: Shop, subscription: dict[str, Any]) -> list[str]:
    """Return the kinds of a history's lines, newest first."""
    found = shop.client.get(f"/api/v1/subscriptions/{subscription['id']}/changes").json()["data"]
    return [line["kind"] for line in found]


def test_a_cancellation_at_the_periods_end_can_be_withdrawn(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    body = {"at": "period_end", "reason": "too_expensive", "comment": "Half would do"}
    ending = act(shop, made, "cancel", body)
    assert (ending["status"], ending["cancel_at_period_end"]) == ("active", True)
    assert ending["cancel_at"] == made["current_period_end"]
    assert ending["cancellation"] == {"reason": "too_expensive", "comment": "Half would do"}
    assert at_stripe(shop, made)["cancellation_details"]["feedback"] == "too_expensive"
    assert error_of(shop.client.get(f"/api/v1/subscriptions/{made['id']}/upcoming-invoice")) == (
        404,
        "NO_UPCOMING_INVOICE",
    )
    kept = act(shop, made, "reactivate", {"reason": "Stays"})
    assert (kept["cancel_at_period_end"], kept["cancel_at"]) == (False, None)
    assert error_of(ask(shop, made, "reactivate")) == (422, "NOT_CANCELING")
    assert kinds(shop, made) == ["cancel_withdrawn", "cancel_scheduled", "created"]


def test_what_may_be_left_out_may_all_be_left_out(shop: Shop) -> None:
    shop.sell(**SOLO)
    path = f"/api/v1/subscriptions/{subscribe(shop, 'solo')['id']}"
    assert shop.client.post(f"{path}/pause").json()["pause"]["behavior"] == "void"
    assert shop.client.post(f"{path}/resume").json()["pause"] is None
    assert shop.client.post(f"{path}/cancel").json()["cancel_at_period_end"] is True
    assert shop.client.post(f"{path}/reactivate").json()["cancel_at_period_end"] is False
    # Not taken for none: who sends `now` without saying what it is does not mean the period's end.
    unread = shop.client.post(f"{path}/cancel", content='{"at": "now"}', headers={"Content-Type": "text/plain"})
    assert unread.status_code == 400
    assert "Content-Type: application/json" in unread.json()["error"]["message"]


def test_a_cancellation_now_is_for_good(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    headers = keyed()
    path, body = f"/api/v1/subscriptions/{made['id']}/cancel", {"at": "now", "reason": "unused"}
    ended = shop.client.post(path, json=body, headers=headers).json()
    assert (ended["status"], ended["mrr_minor"]) == ("canceled", 0)
    assert ended["ended_at"] is not None
    assert ended["cancellation"]["reason"] == "unused"
    assert kinds(shop, made)[0] == "canceled"
    assert shop.client.post(path, json=body, headers=headers).json() == ended
    before = len(shop.stripe.calls())
    for at in ("now", "period_end"):
        assert error_of(ask(shop, made, "cancel", at=at)) == (422, "ALREADY_CANCELED")
    assert error_of(ask(shop, made, "reactivate")) == (422, "ALREADY_CANCELED")
    for action in ("pause", "resume"):
        assert error_of(ask(shop, made, action)) == (422, "INVALID_STATE_TRANSITION")
    assert error_of(ask(shop, made, "trial", ends_at="now")) == (422, "INVALID_STATE_TRANSITION")
    assert len(shop.stripe.calls()) == before


@pytest.mark.parametrize("at", ["period_end", "now"])
def test_a_cancellation_withdraws_what_was_to_come(shop: Shop, at: str) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=5)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    ending = act(shop, made, "cancel", {"at": at, "reason": "unused"})
    assert (ending["scheduled_change"], ending["quantity"]) == (None, 5)
    assert ending["cancellation"]["reason"] == "unused"
    assert ending["cancel_at_period_end"] is (at == "period_end")
    assert ending["status"] == ("active" if at == "period_end" else "canceled")
    assert ("cancel_scheduled" if at == "period_end" else "canceled") in kinds(shop, made)


@pytest.mark.parametrize("path", ["/v1/subscription_schedules/{schedule}/release", "/v1/subscriptions/{id}"])
def test_what_was_to_come_is_not_withdrawn_without_the_end(shop: Shop, path: str) -> None:
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=5)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    shop.stripe_down(path=path.format(**at_stripe(shop, made)), method="POST")
    headers, asked = keyed(), f"/api/v1/subscriptions/{made['id']}/cancel"
    assert shop.client.post(asked, json={}, headers=headers).status_code == 503
    shop.stripe_up()
    held = at_stripe(shop, made)
    schedules = {each["id"]: each for each in shop.stripe.objects("subscription_schedule")}
    ends = held["cancel_at"] or schedules[held["schedule"]]["end_behavior"] == "cancel"
    assert ends, "it would go on for five"
    ending = repeated(lambda: shop.client.post(asked, json={}, headers=headers)).json()
    assert (ending["scheduled_change"], ending["cancel_at_period_end"]) == (None, True)


def test_a_cancellation_that_lost_its_answer_is_finished_by_its_repetition(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    headers, path = keyed(), f"/api/v1/subscriptions/{made['id']}/cancel"
    at = f"/v1/subscriptions/{made['stripe_subscription_id']}"
    for method in ("POST", "DELETE"):
        shop.stripe.break_things({"kind": "hang_after", "path": at, "method": method, "seconds": HANGS_S})
        lost = shop.client.post(path, json={"at": "now"}, headers=headers)
        assert lost.status_code == 503
    shop.stripe_up()
    assert at_stripe(shop, made)["status"] == "canceled"
    assert look(shop, made)["status"] == "canceled"
    done = repeated(lambda: shop.client.post(path, json={"at": "now"}, headers=headers))
    assert (done.status_code, done.json()["status"]) == (200, "canceled")


def test_collection_is_paused_and_resumed(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    assert error_of(ask(shop, made, "resume")) == (422, "NOT_PAUSED")
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=10)
    paused = act(shop, made, "pause", {"behavior": "void", "resumes_at": later.isoformat()})
    assert (paused["status"], paused["pause"]["behavior"], paused["mrr_minor"]) == ("active", "void", 0)
    assert datetime.fromisoformat(paused["pause"]["resumes_at"]) == later
    assert act(shop, made, "pause", {"behavior": "keep_as_draft"})["pause"]["resumes_at"] is None
    resumed = act(shop, made, "resume", {"reason": "Back"})
    assert (resumed["pause"], resumed["mrr_minor"]) == (None, 2000)
    assert kinds(shop, made) == ["resumed", "pause_changed", "paused", "created"]
    assert error_of(ask(shop, made, "pause", resumes_at="2020-01-01T00:00:00Z")) == (400, "INVALID_INPUT")
    assert error_of(ask(shop, made, "pause", behavior="forget")) == (400, "SCHEMA_VALIDATION")


def test_a_trial_is_extended_and_ended(shop: Shop) -> None:
    shop.sell(**{**SOLO, "trial_days": 7})
    made = subscribe(shop, "solo")
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=40)
    longer = act(shop, made, "trial", {"ends_at": later.isoformat()})
    assert longer["status"] == "trialing"
    assert datetime.fromisoformat(longer["trial_end"]) == datetime.fromisoformat(longer["current_period_end"]) == later
    assert error_of(ask(shop, made, "trial", ends_at="2020-01-01T00:00:00Z")) == (400, "INVALID_INPUT")
    assert error_of(ask(shop, made, "trial", ends_at="2099-01-01T00:00:00Z")) == (422, "TRIAL_TOO_LONG")
    assert error_of(ask(shop, made, "trial", ends_at="soon")) == (400, "SCHEMA_VALIDATION")
    pay_with(shop, made["customer_id"], "pm_card_chargeCustomerFail")
    assert error_of(ask(shop, made, "trial", ends_at="now")) == (422, "PAYMENT_FAILED")
    assert look(shop, made)["status"] == "trialing"
    pay_with(shop, made["customer_id"], "pm_card_visa")
    ended = act(shop, made, "trial", {"ends_at": "now"})
    assert (ended["status"], ended["mrr_minor"]) == ("active", 2000)
    invoices = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    # They may be of one second, which gives them no order; those of the trial ask for nothing.
    assert [(each["status"], each["total_minor"]) for each in invoices if each["total_minor"]] == [("paid", 2000)]
    assert error_of(ask(shop, made, "trial", ends_at="now")) == (422, "INVALID_STATE_TRANSITION")


def test_a_trial_may_begin_in_the_middle(shop: Shop) -> None:
    shop.sell(**SOLO)
    made = subscribe(shop, "solo")
    paid_until = datetime.fromisoformat(made["current_period_end"])
    early = paid_until - timedelta(seconds=1)
    refused = ask(shop, made, "trial", ends_at=early.isoformat())
    assert error_of(refused) == (422, "TRIAL_TOO_SHORT")
    assert datetime.fromisoformat(refused.json()["error"]["details"]["least"]) == paid_until
    begun = act(shop, made, "trial", {"ends_at": paid_until.isoformat()})
    assert (begun["status"], begun["trial_end"]) == ("trialing", made["current_period_end"])


def test_a_trial_does_not_move_away_from_a_scheduled_change(shop: Shop) -> None:
    shop.sell(**{**SEATS, "trial_days": 7})
    made = subscribe(shop, "seats", quantity=5)
    change(shop, made, quantity=2, timing="next_billing_cycle").raise_for_status()
    later = (datetime.fromisoformat(made["trial_end"]) + timedelta(days=3)).isoformat()
    for ends_at in ("now", later):
        assert error_of(ask(shop, made, "trial", ends_at=ends_at)) == (422, "CHANGE_SCHEDULED")
    assert at_stripe(shop, made)["trial_end"] == int(datetime.fromisoformat(made["trial_end"]).timestamp())
    change(shop, made, quantity=5, timing="next_billing_cycle").raise_for_status()
    assert act(shop, made, "trial", {"ends_at": later})["status"] == "trialing"
