"""A plan's trial is given once, whichever way its product is bought."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.people import Someone
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import (
    HANGS_S,
    SEATS,
    SOLO,
    act,
    change,
    customer_with,
    keyed,
    repeated,
    subscribe,
)

pytestmark = pytest.mark.integration

TRIED: dict[str, Any] = {**SOLO, "trial_days": 7}


def bought(shop: Shop, client: httpx.Client, **body: Any) -> str:
    """Buy `solo` on Stripe's page; return the subscription's status."""
    started = shop.checkout(client, plan="solo", interval="month", **body)
    assert started.status_code == 201, started.text
    shop.pay(started.json()["url"])
    return str(client.get(f"/api/v1/checkout/{started.json()['id']}").json()["subscription"]["status"])


def test_who_was_deleted_and_came_back_gets_no_second_one(shop: Shop, ada: Someone, asked: httpx.Client) -> None:
    shop.sell(**TRIED)
    first = customer_with(shop, user_id=ada.user_id)
    body = {"plan": "solo", "organization": shop.slug, "interval": "month"}
    assert asked.post("/api/v1/subscriptions", json=body).json()["status"] == "trialing"
    asked.delete(f"/api/v1/customers/{first}").raise_for_status()
    second = customer_with(shop, user_id=ada.user_id)
    assert second != first
    made = asked.post("/api/v1/subscriptions", json=body).json()
    assert (made["status"], made["customer_id"]) == ("active", second)
    asked.delete(f"/api/v1/customers/{second}").raise_for_status()
    assert bought(shop, asked, organization=shop.slug) == "active"


def test_a_page_gives_it_once_and_the_seller_as_often_as_they_say(
    shop: Shop, ada: Someone, asked: httpx.Client
) -> None:
    shop.sell(**TRIED)
    customer = customer_with(shop, user_id=ada.user_id)

    def cancel() -> None:
        (held,) = asked.get("/api/v1/subscriptions", params={"status": ["active", "trialing"]}).json()["data"]
        act(shop, held, "cancel", {"at": "now"})

    assert bought(shop, asked, organization=shop.slug) == "trialing"
    cancel()
    again = {"plan": "solo", "interval": "month", "organization": shop.slug, "trial_days": 7}
    for refused in (shop.checkout(asked, **again), asked.post("/api/v1/subscriptions", json=again)):
        assert error_of(refused) == (422, "TRIAL_USED")
    assert bought(shop, asked, organization=shop.slug) == "active"
    cancel()
    assert bought(shop, shop.client, customer_id=customer) == "active"
    cancel()
    assert bought(shop, shop.client, customer_id=customer, trial_days=7) == "trialing"
    cancel()
    assert subscribe(shop, "solo", customer=customer)["status"] == "active"
    cancel()
    assert subscribe(shop, "solo", customer=customer, trial_days=7)["status"] == "trialing"


def test_a_trial_that_was_changed_for_another_product_was_one(shop: Shop) -> None:
    shop.sell(**TRIED)
    shop.sell(**SEATS)
    made = subscribe(shop, "solo")
    assert change(shop, made, plan="seats").json()["plan"]["slug"] == "seats"
    act(shop, made, "cancel", {"at": "now"})
    assert subscribe(shop, "solo", customer=made["customer_id"])["status"] == "active"


def test_a_repetition_gets_the_trial_that_its_first_try_began(shop: Shop, ada: Someone, asked: httpx.Client) -> None:
    shop.sell(**TRIED)
    customer_with(shop, user_id=ada.user_id)
    body, headers = {"plan": "solo", "organization": shop.slug, "interval": "month"}, keyed()
    shop.stripe.break_things({"kind": "hang_after", "path": "/v1/subscriptions", "method": "POST", "seconds": HANGS_S})
    assert asked.post("/api/v1/subscriptions", json=body, headers=headers).status_code == 503
    shop.stripe_up()
    # Another request makes it known here.
    assert error_of(repeated(lambda: asked.post("/api/v1/subscriptions", json=body))) == (409, "ALREADY_SUBSCRIBED")
    made = repeated(lambda: asked.post("/api/v1/subscriptions", json=body, headers=headers))
    assert (made.status_code, made.json()["status"]) == (201, "trialing")
