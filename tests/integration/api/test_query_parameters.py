"""What an operation does not ask for is refused, wherever it is one of ours to answer."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.api.service import Service

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "path", ["subscriptions?customer=x&limit=2", "plans?customer=x", "meters/none/query?customer=x"]
)
def test_unknown_ones_are_named_with_those_that_there_are(acme: httpx.Client, path: str) -> None:
    answer = acme.get(f"/api/v1/{path}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["field"]) == (400, "UNKNOWN_PARAMETER", "customer")
    described = acme.get("/openapi.json").json()["paths"]
    operation = described[f"/api/v1/{path.partition('?')[0].replace('none', '{slug}')}"]["get"]
    assert set(error["details"]["known"]) == {each["name"] for each in operation["parameters"] if each["in"] == "query"}


def test_who_may_not_ask_is_not_told(service: Service) -> None:
    with service.client() as client:
        assert client.get("/api/v1/subscriptions?customer=x").status_code == 401
        assert client.get("/api/v1/plans?customer=x").json()["error"]["code"] == "UNKNOWN_PARAMETER"
    with service.client(service.key("reader-of-parameters", "ingest")) as client:
        assert client.get("/api/v1/subscriptions?customer=x").status_code == 403


def test_writes_have_none_and_operators_are_told_too(acme: httpx.Client, operator: httpx.Client) -> None:
    answer = acme.post("/api/v1/customers?dry_run=true", json={"name": "Ada"})
    assert (answer.status_code, answer.json()["error"]["details"]["known"]) == (400, [])
    assert "there are none" in answer.json()["error"]["message"]
    answer = operator.get("/api/v1/webhooks/stripe/events?state=applied")
    assert answer.json()["error"]["details"]["known"] == ["status", "limit", "cursor"]


def test_what_scrapes_and_probes_say_is_theirs(service: Service) -> None:
    with service.client() as client:
        assert client.get("/metrics?module=x").status_code == 200
        assert client.get("/healthz?from=balancer").status_code == 200
