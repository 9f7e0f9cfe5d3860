"""Requests that fit the OpenAPI document, or do not: no answer of what sells is a failure of ours or undocumented."""

from __future__ import annotations

import pytest
from schemathesis import GenerationMode

from tests.integration.api import fuzzing
from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop
from tests.integration.api.service import Service

PATHS = tuple(
    f"/api/v1/{noun}" for noun in ("plans", "customers", "payment-methods", "checkout", "portal", "discount-codes")
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", ["key", "user"])
def test_fuzzing_what_sells_finds_no_failure(shop: Shop, service: Service, mode: GenerationMode, who: str) -> None:
    shop.sell()
    shop.customer()
    with someone(service).client() as user:
        client = shop.client if who == "key" else user
        headers = {"Authorization": client.headers["authorization"]}
    tried = 0
    for operation in fuzzing.operations(service):
        if operation.path.startswith(PATHS):
            tried += fuzzing.probe(service, operation, mode, headers, examples=8)
    assert tried > 40
