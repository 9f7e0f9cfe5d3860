"""The OpenAPI document is complete, and nothing that fits it (or does not) makes the API fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from schemathesis import GenerationMode

from api.http.invalid_requests import PATTERNS
from tests.integration.api import fuzzing
from tests.integration.api.people import someone
from tests.integration.api.service import Service

EITHER = [{"Credential": []}]
SECURITY = {
    "GET /api/v1/plans": [*EITHER, {}],
    "GET /api/v1/plans/{id}": [*EITHER, {}],
    # Stripe signs what it says.
    "POST /api/v1/webhooks/stripe": None,
}
# What sells is tried where Stripe answers: tests/integration/api/selling.
SELLING = tuple(
    f"/api/v1/{noun}"
    for noun in (
        *("plans", "customers", "payment-methods", "checkout", "portal", "discount-codes"),
        *("subscriptions", "invoices"),
    )
)
PEOPLE = tuple(f"/api/v1/{noun}" for noun in ("organization", "members", "invitations", "api-keys", "audit-log"))
# What each is for; the rest is refused before anything is read.
PATHS = {
    "tenant": ("/api/v1",),
    "operator": ("/api/v1/dead-letters", "/api/v1/ledger", "/api/v1/webhooks"),
    "member": PEOPLE,
    "user": PEOPLE,
}


def operations(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in service.app.openapi()["paths"].items()
        for method, operation in item.items()
    ]


def test_every_operation_is_described(service: Service) -> None:
    for path, method, operation in operations(service):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        for status, answer in operation["responses"].items():
            assert answer["description"], (where, status)
        if path.startswith("/api/v1"):
            assert operation.get("security") == SECURITY.get(f"{method.upper()} {path}", EITHER), where
            assert {"500", "503"} <= set(operation["responses"]), where
            assert {"401", "403"} <= set(operation["responses"]) or operation.get("security") is None, where
            for status in set(operation["responses"]) - {"200", "201", "303"}:
                content = operation["responses"][status]["content"]["application/json"]
                assert content["schema"]["$ref"].endswith("/ErrorEnvelope"), (where, status)
        if "requestBody" in operation:
            for content in operation["requestBody"]["content"].values():
                schema = content["schema"]
                named = schema.get("$ref", "").rpartition("/")[2]
                model = service.app.openapi()["components"]["schemas"].get(named, {})
                properties = model.get("properties", {}).values()
                assert "example" in content or "example" in model or any("examples" in one for one in properties), where
    assert "HTTPValidationError" not in json.dumps(service.app.openapi())


def patterns(schema: Any) -> Iterator[str]:
    """Yield the patterns of a document's texts."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for each in schema.values():
            yield from patterns(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from patterns(each)


def test_what_a_pattern_asks_for_is_said_in_words(service: Service) -> None:
    assert set(patterns(service.app.openapi())) == set(PATTERNS)


def test_the_document_needs_no_key(service: Service) -> None:
    with service.client() as client:
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def credentials(service: Service, who: str, acme: httpx.Client, operator: httpx.Client) -> dict[str, str]:
    """Return the headers by which somebody says who they are."""
    if who in ("tenant", "operator"):
        return {"Authorization": (acme if who == "tenant" else operator).headers["authorization"]}
    person = someone(service)
    if who == "user":
        return {"Authorization": f"Bearer {person.token}"}
    person.found(person.user_id)
    return {"Authorization": f"Bearer {person.token}", "X-Organization": person.user_id}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", sorted(PATHS))
def test_fuzzing_from_the_document_finds_no_failure(
    service: Service, acme: httpx.Client, operator: httpx.Client, mode: GenerationMode, who: str
) -> None:
    """Every operation, with requests that fit (or do not): no 5xx, no undocumented status or shape."""
    acme.post(
        "/api/v1/meters",
        json={"slug": "tokens", "event_type": "t", "aggregation": "COUNT", "group_by": {"model": "$.model"}},
    ).raise_for_status()
    headers = credentials(service, who, acme, operator)
    tried = 0
    for operation in fuzzing.operations(service):
        if operation.path.startswith(PATHS[who]) and not operation.path.startswith(SELLING):
            tried += fuzzing.probe(service, operation, mode, headers, examples=12)
    assert tried > 40
