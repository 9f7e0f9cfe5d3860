"""Requests about a subscription and an invoice that exist, fitting the OpenAPI document or not: none makes us fail."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop
from tests.integration.api.selling.subscribers import SEATS, customer_with, subscribe

pytestmark = pytest.mark.integration

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", ["key", "user"])
def test_fuzzing_what_is_subscribed_to_finds_no_failure(shop: Shop, mode: GenerationMode, who: str) -> None:
    shop.sell(**SEATS)
    person = someone(shop.service)
    made = subscribe(shop, "seats", customer=customer_with(shop, user_id=person.user_id))
    (invoice,) = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    ids = {"subscriptions": made["id"], "invoices": invoice["id"]}
    token = shop.client.headers["authorization"] if who == "key" else f"Bearer {person.token}"
    schema = schemathesis.openapi.from_dict(shop.service.app.openapi())
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # what is no operation fails here
        noun = operation.path.removeprefix("/api/v1/").partition("/")[0]
        if noun in ids:
            tried += _probed(operation, mode, ids[noun], base_url=shop.service.url, headers={"Authorization": token})
    assert tried > 40


def _probed(operation: Any, mode: GenerationMode, known_id: str, **how: Any) -> int:
    """Try an operation with generated requests; return how many they were."""
    tried = 0

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=10,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def probe(case: Any) -> None:
        nonlocal tried
        tried += 1
        if "{id}" in operation.path:
            case.path_parameters = {"id": known_id}
        case.call_and_validate(checks=CHECKS, **how)

    probe()
    return tried
