"""An API that has no key of Stripe counts usage and sells nothing, and says so."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.integration.api.selling.shop import METER, TEAM, URLS
from tests.integration.api.service import Service


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("plans", {**TEAM, "activate": True}),
        ("plans/team/activate", None),
        ("customers", {"name": "Jenny"}),
        ("discount-codes", {"code": "LAUNCH", "percent_off": "20"}),
    ],
)
def test_what_needs_stripe_says_which_setting_is_missing(acme: httpx.Client, path: str, body: Any) -> None:
    acme.post("/api/v1/meters", json=METER).raise_for_status()
    acme.post("/api/v1/plans", json=TEAM).raise_for_status()
    if path == "plans":
        body = {**body, "slug": "other"}
    answer = acme.post(f"/api/v1/{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "STRIPE_NOT_CONFIGURED")
    assert "METERSTREAM_STRIPE__API_KEY" in error["message"]
    assert acme.get("/api/v1/customers").json()["data"] == []
    assert acme.get("/api/v1/plans", params={"state": "active"}).json()["data"] == []


def test_drafts_and_reading_need_no_stripe(service: Service, acme: httpx.Client) -> None:
    acme.post("/api/v1/meters", json=METER).raise_for_status()
    draft = acme.post("/api/v1/plans", json=TEAM)
    assert draft.status_code == 201
    assert acme.get("/api/v1/plans/team").json() == draft.json()
    assert acme.delete("/api/v1/plans/team").json()["state"] == "archived"
    missing = acme.get(f"/api/v1/checkout/{uuid.uuid4()}")
    assert missing.json()["error"]["code"] == "CHECKOUT_NOT_FOUND"
    assert acme.post("/api/v1/checkout", json={"plan": "none", **URLS}).json()["error"]["code"] == "PLAN_NOT_FOUND"
