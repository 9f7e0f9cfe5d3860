"""The judge itself: it must accept what Stripe documents and refuse what is wrong, and name the place."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.contract.stripe_document import CHECKED, check_answer, check_event, check_object, check_request

pytestmark = pytest.mark.unit

_PRODUCT: dict[str, Any] = {
    "id": "prod_1",
    "object": "product",
    "active": True,
    "created": 1_790_000_000,
    "default_price": None,
    "description": None,
    "images": [],
    "livemode": False,
    "marketing_features": [],
    "metadata": {"plan": "pro"},
    "name": "Pro",
    "package_dimensions": None,
    "shippable": None,
    "tax_code": None,
    "updated": 1_790_000_000,
    "url": None,
}
_METER: dict[str, Any] = {
    "id": "mtr_1",
    "object": "billing.meter",
    "created": 1_790_000_000,
    "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
    "default_aggregation": {"formula": "sum"},
    "display_name": "Tokens",
    "event_name": "tokens",
    "event_time_window": None,
    "livemode": False,
    "status": "active",
    "status_transitions": {"deactivated_at": None},
    "updated": 1_790_000_000,
    "value_settings": {"event_payload_key": "value"},
}
_EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_790_000_000,
    "data": {"object": _PRODUCT, "previous_attributes": {"name": "Old", "metadata": {"plan": None}}},
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_1", "idempotency_key": "key"},
    "type": "product.updated",
}
_REPORT: dict[str, Any] = {
    "id": "evt_2",
    "object": "v2.core.event",
    "created": "2026-11-01T00:00:00.000Z",
    "livemode": False,
    "type": "v1.billing.meter.error_report_triggered",
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
    "data": {
        "developer_message_summary": "1 error",
        "validation_start": "2026-11-01T00:00:00.000Z",
        "validation_end": "2026-11-01T00:00:10.000Z",
        "reason": {
            "error_count": 1,
            "error_types": [
                {
                    "code": "meter_event_customer_not_found",
                    "error_count": 1,
                    "sample_errors": [{"error_message": "No such customer", "request": {"identifier": "u1"}}],
                }
            ],
        },
    },
}
_PRICE = [
    ("currency", "usd"),
    ("product", "prod_1"),
    ("billing_scheme", "tiered"),
    ("tiers_mode", "graduated"),
    ("tiers[0][up_to]", "1000"),
    ("tiers[0][unit_amount_decimal]", "0.015"),
    ("tiers[1][up_to]", "inf"),
    ("tiers[1][flat_amount]", "0"),
    ("recurring[interval]", "month"),
    ("recurring[usage_type]", "metered"),
    ("recurring[meter]", "mtr_1"),
    ("metadata[0]", "a numeric name"),
    ("expand[]", "tiers"),
    ("expand[]", "product"),
]
_SUBSCRIPTION = "/v1/subscriptions/sub_1"


@pytest.fixture(autouse=True)
def _not_counted() -> Iterator[None]:
    """The counts at the end of a run are those of what the gateway and the simulator said."""
    before = CHECKED.copy()
    yield
    CHECKED.clear()
    CHECKED.update(before)


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("POST", "/v1/prices", _PRICE),
        ("GET", "/v1/prices", [("lookup_keys[]", "a"), ("limit", "9"), ("active", "true"), ("expand[]", "data.tiers")]),
        ("GET", "/v1/products/search", [("query", "metadata['plan']:'pro'")]),
        ("POST", _SUBSCRIPTION, [("billing_cycle_anchor[type]", "now"), ("cancel_at", ""), ("metadata", "")]),
        ("POST", _SUBSCRIPTION, [("items[0][id]", "si_1"), ("items[0][quantity]", "3")]),
        ("POST", f"{_SUBSCRIPTION}/resume", [("billing_cycle_anchor[type]", "unchanged")]),
        ("DELETE", _SUBSCRIPTION, [("invoice_now", "true"), ("cancellation_details[comment]", "bye")]),
        (
            "POST",
            "/v1/invoices/create_preview",
            [
                ("subscription_details[billing_cycle_anchor][type]", "timestamp"),
                ("subscription_details[billing_cycle_anchor][timestamp]", "1790000000"),
            ],
        ),
        ("POST", "/v1/billing/meter_events", [("event_name", "tokens"), ("payload[value]", "5")]),
        ("POST", "/v1/webhook_endpoints", [
            ("url", "http://127.0.0.1/hook"), ("enabled_events[0]", "*"), ("api_version", "2026-10-28.endive"),
        ]),
    ],
)  # fmt: skip
def test_accepts_what_stripe_documents(method: str, path: str, form: list[tuple[str, str]]) -> None:
    assert check_request(method, path, form) == []


@pytest.mark.parametrize(
    ("method", "path", "form", "problem"),
    [
        ("GET", "/v1/usage_records", [], "unknown path"),
        ("DELETE", "/v1/prices/price_1", [], "no such method"),
        ("POST", "/v1/prices", [("product", "prod_1")], "currency: missing"),
        ("POST", "/v1/prices", [*_PRICE, ("nonsense", "1")], "nonsense: unknown"),
        ("POST", "/v1/prices", [*_PRICE, ("recurring[intervall]", "month")], "recurring.intervall: unknown"),
        ("POST", "/v1/prices", [*_PRICE, ("tiers[1][colour]", "red")], "tiers[1].colour: unknown"),
        ("POST", "/v1/prices", [*_PRICE, ("tiers[3][up_to]", "5")], "tiers: expected a list"),
        ("POST", "/v1/prices", [*_PRICE, ("currency", "eur")], "currency: given twice"),
        ("POST", "/v1/prices", [*_PRICE, ("currency[code]", "eur")], "currency[code]: given twice"),
        ("POST", "/v1/prices", [*_PRICE, ("unit[amount", "5")], "unit[amount: no such form of a name"),
        ("POST", "/v1/prices", [("currency", "USD"), ("product", "p")], "'USD' is no currency"),
        ("POST", "/v1/prices", [("currency", "usd"), ("unit_amount", "1.5")], "unit_amount: expected integer"),
        ("POST", "/v1/prices", [("currency", "usd"), ("unit_amount_decimal", "1e3")], "is no decimal"),
        ("POST", "/v1/prices", [("currency", "usd"), ("active", "True")], "active: expected boolean"),
        ("POST", "/v1/prices", [("currency", "usd"), ("billing_scheme", "tired")], "'tired' is none of"),
        ("POST", "/v1/prices", [("currency", "usd"), ("lookup_key", "x" * 201)], "longer than 200"),
        ("POST", "/v1/prices", [("currency", "usd"), ("tiers[0][up_to]", "infinite")], "tiers[0].up_to"),
        ("POST", "/v1/prices", [("currency", "usd"), ("recurring", "month")], "recurring: expected an object"),
        ("GET", "/v1/prices", [("limit", "all")], "limit: expected integer"),
        ("GET", "/v1/prices", [("currencies", "usd")], "currencies: unknown"),
        ("GET", "/v1/products/search", [], "query: missing"),
        ("POST", _SUBSCRIPTION, [("billing_cycle_anchor", "now")], "billing_cycle_anchor: expected an object"),
        ("POST", _SUBSCRIPTION, [("cancel_at", "tomorrow")], "cancel_at"),
        ("POST", "/v1/subscriptions", [("customer", "c"), ("items[0][deleted]", "true")], "items[0].deleted: unknown"),
    ],
)  # fmt: skip
def test_refuses_a_wrong_request(method: str, path: str, form: list[tuple[str, str]], problem: str) -> None:
    found = check_request(method, path, form)
    assert len(found) == 1, found
    assert problem in found[0]


def test_a_v2_request_is_json() -> None:
    stream = "/v2/billing/meter_event_stream"
    event = {"event_name": "tokens", "payload": {"value": "5"}, "timestamp": "2026-11-01T00:00:00Z"}
    assert check_request("POST", stream, [], json_body={"events": [event]}) == []
    wrong = {**event, "payload": {"value": 5}}
    assert check_request("POST", stream, [], json_body={"events": [wrong]}) == [
        "events[0].payload.value: expected string, not 5"
    ]
    assert check_request("POST", "/v1/customers", [], json_body={}) == ["a JSON body, where a form is expected"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, "product.name: null"),
        ({"name": 7}, "product.name: expected string"),
        ({"active": 1}, "product.active: expected boolean"),
        ({"created": True}, "product.created: expected integer"),
        ({"created": "1790000000"}, "product.created: expected integer"),
        ({"created": -1}, "is no unix-time"),
        ({"object": "product", "metadata": "x"}, "product.metadata: expected an object"),
        ({"colour": "red"}, "product.colour: unknown"),
        ({"metadata": {"plan": 1}}, "product.metadata.plan: expected string"),
        ({"images": {}}, "product.images: expected a list"),
        ({"marketing_features": [{"nam": "x"}]}, "product.marketing_features[0].nam: unknown"),
        ({"default_price": 5}, "product.default_price: expected"),
        ({"default_price": {"object": "product"}}, "product.default_price: expected"),
        ({"default_price": {"object": "price", "id": "price_1"}}, "product.default_price.active: missing"),
        ({"object": "produkt"}, "'produkt' is no object of Stripe's"),
        ({"_secret": 1}, "product._secret: unknown"),
    ],
)
def test_refuses_a_wrong_object(changes: dict[str, Any], problem: str) -> None:
    assert check_object(_PRODUCT) == []
    assert any(problem in found for found in check_object({**_PRODUCT, **changes}))


@pytest.mark.parametrize("name", sorted(_METER.keys() - {"event_time_window"}))
def test_refuses_an_object_that_lacks_a_field(name: str) -> None:
    assert check_object(_METER) == []
    lacking = {key: value for key, value in _METER.items() if key != name}
    assert len(check_object(lacking)) == 1


def test_a_field_may_be_an_id_an_object_or_a_deleted_object() -> None:
    price = _price()
    assert check_object(price) == []
    assert check_object({**price, "product": _PRODUCT}) == []
    assert check_object({**price, "product": {"id": "prod_1", "object": "product", "deleted": True}}) == []
    wrong = check_object({**price, "product": {**_PRODUCT, "active": "yes"}, "type": "once"})
    assert [problem.split(":")[0] for problem in wrong] == ["price.product.active", "price.type"]


def test_judges_answers_lists_and_errors() -> None:
    listed = {"object": "list", "data": [_PRODUCT], "has_more": False, "url": "/v1/products"}
    assert check_answer("GET", "/v1/products", 200, listed) == []
    assert check_answer("GET", "/v1/products", 200, _PRODUCT) != []
    assert check_answer("GET", "/v1/products", 200, {**listed, "url": "/v1/prices"}) != []
    assert check_answer("GET", "/v1/products", 200, {**listed, "data": [_METER]}) != []
    assert check_answer("POST", "/v1/products/prod_1", 200, _PRODUCT) == []
    assert check_answer("DELETE", "/v1/products/p", 200, {"id": "p", "object": "product", "deleted": True}) == []
    error = {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such product"}}
    assert check_answer("GET", "/v1/products/p", 404, error) == []
    assert check_answer("GET", "/v1/nothing", 404, error) == []
    assert check_answer("GET", "/v1/nothing", 200, {}) == ["/v1/nothing: unknown path"]
    assert check_answer("GET", "/v1/products/p", 200, error) != []
    assert check_answer("GET", "/v1/products/p", 404, {"error": {"type": "rate_limit"}}) != []
    assert check_answer("GET", "/v1/products/p", 404, {"error": {"message": "?"}}) == ["answer.error.type: missing"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda event: event.update(type="product.renamed"), "'product.renamed' is no event of Stripe's"),
        (lambda event: event.pop("pending_webhooks"), "event.pending_webhooks: missing"),
        (lambda event: event["data"]["object"].pop("name"), "product.name: missing"),
        (lambda event: event["data"].update(object={"object": "meter"}), "'meter' is no object of Stripe's"),
        (lambda event: event["data"]["previous_attributes"].update(nam="x"), "previous_attributes.nam: unknown"),
        (
            lambda event: event["data"]["previous_attributes"].update(name=1),
            "attributes.name: expected string",
        ),
    ],
)
def test_refuses_a_wrong_event(change: Any, problem: str) -> None:
    assert check_event(_EVENT) == []
    event = deepcopy(_EVENT)
    change(event)
    assert any(problem in found for found in check_event(event))


def test_thin_events_are_judged_with_and_without_their_data() -> None:
    assert check_event(_REPORT) == []
    notification = {key: value for key, value in _REPORT.items() if key != "data"}
    assert check_event(notification) == []
    assert check_event({**notification, "data": {"reason": {}}}) != []
    assert check_event({**notification, "type": "v1.billing.meter.renamed"}) != []
    assert check_event({**notification, "created": 1_790_000_000}) != []
    assert check_event({**notification, "context": None, "reason": None, "data": None}) == []
    orphan = {key: value for key, value in notification.items() if key != "related_object"}
    assert check_event(orphan) == ["event.related_object: missing"]
    assert check_event({**orphan, "type": "v1.billing.meter.no_meter_found"}) == []


def _price() -> dict[str, Any]:
    return {
        "id": "price_1",
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": 1_790_000_000,
        "currency": "usd",
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": "prod_1",
        "recurring": None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": 1500,
        "unit_amount_decimal": "1500",
    }
