"""Requests about a subscription and an invoice that exist, fitting the OpenAPI document or not: none makes us fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from schemathesis import GenerationMode

from tests.integration.api import fuzzing
from tests.integration.api.people import someone
from tests.integration.api.selling.shop import Shop
from tests.integration.api.selling.subscribers import SEATS, customer_with, subscribe

pytestmark = pytest.mark.integration


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
    tried = 0
    for operation in fuzzing.operations(shop.service):
        noun = operation.path.removeprefix("/api/v1/").partition("/")[0]
        if noun in ids:
            about = {"prepare": partial(_name, known_id=ids[noun])} if "{id}" in operation.path else {}
            tried += fuzzing.probe(shop.service, operation, mode, {"Authorization": token}, examples=10, **about)
    assert tried > 40


def _name(case: Any, known_id: str) -> None:
    """Let a request be about what exists."""
    case.path_parameters = {"id": known_id}
