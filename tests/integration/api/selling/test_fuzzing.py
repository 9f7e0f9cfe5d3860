"""Requests that fit the OpenAPI document, or do not: no answer of what sells is a failure of ours or undocumented."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop
from tests.integration.api.service import Service

PATHS = tuple(
    f"/api/v1/{noun}" for noun in ("plans", "customers", "payment-methods", "checkout", "portal", "discount-codes")
)
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", ["key", "user"])
def test_fuzzing_what_sells_finds_no_failure(shop: Shop, service: Service, mode: GenerationMode, who: str) -> None:
    shop.sell()
    shop.customer()
    with someone(service).client() as user:
        client = shop.client if who == "key" else user
        headers = {"Authorization": client.headers["authorization"]}
    schema = schemathesis.openapi.from_dict(service.app.openapi())
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith(PATHS):
            continue

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def probe(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(base_url=service.url, headers=headers, checks=CHECKS)

        probe()
    assert tried > 40
