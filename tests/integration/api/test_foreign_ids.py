"""Ids of another's things in queries and bodies. A field that names a thing without an entry here fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.integration.api.cast import V1, Cast, everything, example_of
from tests.integration.api.service import Service

# Fields of queries and bodies that name a thing by its id, and which thing it is. None: a person as the sign-in service
# knows them, whoever that is.
ID_FIELDS: Final[dict[tuple[str, str], str | None]] = {
    (f"GET {V1}/subscriptions", "customer_id"): "customers",
    (f"GET {V1}/invoices", "customer_id"): "customers",
    (f"GET {V1}/invoices", "subscription_id"): "subscriptions",
    (f"GET {V1}/payment-methods", "customer_id"): "customers",
    (f"GET {V1}/events/stream", "customer_id"): "customers",
    (f"POST {V1}/subscriptions", "customer_id"): "customers",
    (f"POST {V1}/payment-methods", "customer_id"): "customers",
    (f"POST {V1}/checkout", "customer_id"): "customers",
    (f"POST {V1}/portal", "customer_id"): "customers",
    (f"POST {V1}/invoices/{{id}}/pay", "payment_method_id"): "payment-methods",
    (f"GET {V1}/customers", "user_id"): None,
    (f"POST {V1}/customers", "user_id"): None,
    (f"PATCH {V1}/customers/{{id}}", "user_id"): None,
}
FOREIGN: Final = sorted(key for key, noun in ID_FIELDS.items() if noun is not None)


def id_fields(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield route and name of every field that names a thing by its id."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            names = {each["name"] for each in operation.get("parameters", ()) if each["in"] != "path"}
            names |= set(field_names(document, operation.get("requestBody", {}).get("content", {}), set()))
            yield from ((f"{method.upper()} {path}", name) for name in names if name.endswith("_id"))


def field_names(document: dict[str, Any], schema: Any, seen: set[str]) -> Iterator[str]:
    """Yield the names of a body's fields, those of what is inside it, too."""
    if isinstance(schema, list):
        for each in schema:
            yield from field_names(document, each, seen)
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref", "").rpartition("/")[2]
    if reference and reference not in seen:
        seen.add(reference)
        yield from field_names(document, document["components"]["schemas"][reference], seen)
    yield from schema.get("properties", {})
    for name, each in schema.items():
        if name not in ("example", "examples"):
            yield from field_names(document, each, seen)


def test_every_field_that_names_a_thing_has_an_entry(service: Service) -> None:
    """But Stripe's webhook, whose body is Stripe's, and events, whose body is the sender's."""
    found = {key for key in id_fields(service.app.openapi()) if key[0] not in (f"POST {V1}/webhooks/stripe",)}
    assert found == set(ID_FIELDS)


@pytest.mark.parametrize(("route", "field"), FOREIGN, ids=lambda part: str(part).replace(V1, ""))
def test_another_s_thing_is_not_there_in_a_field_either(cast: Cast, route: str, field: str) -> None:
    """Strangers name it in a request about what is their own: as if there were none, and nothing has changed."""
    noun = str(ID_FIELDS[route, field])
    method, _, path = route.partition(" ")

    def ask(who: str, invoice: str) -> httpx.Response:
        named = {field: cast.ids[noun]}
        if method == "GET":
            return cast.client.get(path, params=named, headers=cast.headers(who))
        plan = {"plan": "p", "interval": "month", "quantity": 1} if "plan" in example else {}
        if plan and who == "another user":
            plan["organization"] = cast.tag
        body = {**example, **plan, **named}
        body.pop("discount_code", None)
        return cast.client.request(method, path.format(id=invoice), json=body, headers=cast.headers(who))

    example = example_of(cast.service, route)
    invoice_of = "select i.id::text from invoices i join customers c on c.id = i.customer_id where c.user_id = %s"
    ((own,), (neighbour,), (foreign,)) = (
        cast.service.sql(invoice_of, user)[0]
        for user in (f"user-{cast.tag}", f"another-{cast.tag}", f"user-{cast.other}")
    )
    before = everything(cast)
    for who, invoice in (
        ("key of another", foreign),
        ("member of another for their own", foreign),
        ("another user", neighbour),
    ):
        answer = ask(who, invoice)
        if method == "GET" and answer.status_code == 200:
            assert answer.json()["data"] == [], who
        else:
            code = answer.json()["error"]["code"]
            assert (answer.status_code, code) == (404, f"{noun.upper().replace('-', '_')[:-1]}_NOT_FOUND"), who
    assert everything(cast) == before
    # It is there for whose it is: Stripe would be asked next, which is not here.
    if method == "GET" and "stream" not in path:
        assert ask("key:admin", own).json()["data"] != []
    elif method == "POST":
        assert ask("key:admin", own).json()["error"]["code"] == "STRIPE_NOT_CONFIGURED"
