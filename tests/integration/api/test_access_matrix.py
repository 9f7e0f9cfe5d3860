"""Who may ask for what: every route × every kind of credential. A route without an entry here fails."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import jwt
import psycopg
import pytest
from fastapi.routing import APIRoute

from api import app as application
from api.access.tokens import make_token
from sinks.postgres.api_keys import hash_secret
from tests.engines import JWT_SECRET
from tests.integration.api.service import Service
from tests.integration.sinks.postgres.test_row_level_security import SEED

V1: Final = "/api/v1"

# Written by hand, and apart from `api.access.permissions`: a change of the table there must be meant here too.
SELLERS: Final = "owner admin support"
EVERYBODY: Final = "owner admin analyst support"
MAY: Final[dict[str, str]] = {
    "send": "key:ingest key:admin owner admin",
    "read": f"key:read key:admin {EVERYBODY}",
    "manage": "key:admin owner admin",
    "read or operate": f"key:read key:admin {EVERYBODY} operator",
    "manage or operate": "key:admin owner admin operator",
    "look": f"key:read key:admin {EVERYBODY} user",
    "look closely": f"key:read key:admin {SELLERS} user",
    "sell": f"key:admin {SELLERS} user",
    "forgo money": f"key:admin {SELLERS}",
    "know colleagues": f"key:admin {EVERYBODY}",
    "be somebody": f"{EVERYBODY} user",
    "operate": "operator",
}
PUBLIC: Final = "public"

ROUTES: Final[dict[str, str]] = {
    f"POST {V1}/events": "send",
    f"GET {V1}/events": "read",
    f"GET {V1}/events/stream": "look",
    f"POST {V1}/meters": "manage",
    f"GET {V1}/meters": "read",
    f"GET {V1}/meters/{{slug}}": "read",
    f"PATCH {V1}/meters/{{slug}}": "manage",
    f"DELETE {V1}/meters/{{slug}}": "manage",
    f"GET {V1}/meters/{{slug}}/query": "read",
    f"GET {V1}/meters/{{slug}}/group-by/{{key}}/values": "read",
    f"GET {V1}/subjects": "read",
    f"GET {V1}/plans": PUBLIC,
    f"GET {V1}/plans/{{id}}": PUBLIC,
    f"POST {V1}/plans": "manage",
    f"PATCH {V1}/plans/{{id}}": "manage",
    f"DELETE {V1}/plans/{{id}}": "manage",
    f"POST {V1}/plans/{{id}}/activate": "manage",
    f"GET {V1}/customers": "look",
    f"POST {V1}/customers": "sell",
    f"GET {V1}/customers/{{id}}": "look",
    f"PATCH {V1}/customers/{{id}}": "sell",
    f"DELETE {V1}/customers/{{id}}": "sell",
    f"GET {V1}/payment-methods": "look closely",
    f"POST {V1}/payment-methods": "sell",
    f"GET {V1}/payment-methods/{{id}}": "look closely",
    f"DELETE {V1}/payment-methods/{{id}}": "sell",
    f"POST {V1}/payment-methods/{{id}}/default": "sell",
    f"POST {V1}/checkout": "sell",
    f"GET {V1}/checkout/{{id}}": "look",
    f"POST {V1}/portal": "sell",
    f"GET {V1}/discount-codes": "read",
    f"POST {V1}/discount-codes": "manage",
    f"GET {V1}/discount-codes/{{id}}": "read",
    f"PATCH {V1}/discount-codes/{{id}}": "manage",
    f"DELETE {V1}/discount-codes/{{id}}": "manage",
    f"POST {V1}/discount-codes/validate": "sell",
    f"GET {V1}/subscriptions": "look",
    f"POST {V1}/subscriptions": "sell",
    f"GET {V1}/subscriptions/{{id}}": "look",
    f"PATCH {V1}/subscriptions/{{id}}": "sell",
    f"GET {V1}/subscriptions/{{id}}/changes": "look",
    f"POST {V1}/subscriptions/{{id}}/cancel": "sell",
    f"POST {V1}/subscriptions/{{id}}/reactivate": "sell",
    f"POST {V1}/subscriptions/{{id}}/pause": "forgo money",
    f"POST {V1}/subscriptions/{{id}}/resume": "sell",
    f"POST {V1}/subscriptions/{{id}}/trial": "sell",
    f"POST {V1}/subscriptions/{{id}}/preview": "look",
    f"GET {V1}/subscriptions/{{id}}/upcoming-invoice": "look",
    f"GET {V1}/invoices": "look",
    f"GET {V1}/invoices/{{id}}": "look",
    f"GET {V1}/invoices/{{id}}/lines": "look",
    f"GET {V1}/invoices/{{id}}/pdf": "look",
    f"POST {V1}/invoices/{{id}}/pay": "sell",
    f"GET {V1}/organizations": "be somebody",
    f"POST {V1}/organizations": "be somebody",
    f"GET {V1}/organization": "read",
    f"PATCH {V1}/organization": "manage",
    f"GET {V1}/members": "know colleagues",
    f"PATCH {V1}/members/{{user_id}}": "manage",
    # Of others; of oneself see below.
    f"DELETE {V1}/members/{{user_id}}": "manage",
    f"GET {V1}/invitations": "know colleagues",
    f"POST {V1}/invitations": "manage",
    f"DELETE {V1}/invitations/{{id}}": "manage",
    f"POST {V1}/invitations/accept": "be somebody",
    f"GET {V1}/api-keys": "manage",
    f"POST {V1}/api-keys": "manage",
    f"DELETE {V1}/api-keys/{{id}}": "manage",
    f"GET {V1}/audit-log": "manage",
    f"POST {V1}/webhooks/stripe": PUBLIC,
    f"GET {V1}/webhooks/stripe/events": "operate",
    f"POST {V1}/webhooks/stripe/events/{{event_id}}/retry": "operate",
    f"GET {V1}/dead-letters": "read or operate",
    f"GET {V1}/dead-letters/{{id}}": "read or operate",
    f"POST {V1}/dead-letters/{{id}}/redrive": "manage or operate",
    f"POST {V1}/dead-letters/{{id}}/discard": "manage or operate",
    f"GET {V1}/ledger": "operate",
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,
}


def routes() -> list[str]:
    """Return every route of the application, as it is made."""
    found = [route for module in application._ROUTES for route in module.router.routes]
    assert all(isinstance(route, APIRoute) for route in found)
    return sorted(f"{method} {route.path}" for route in found for method in route.methods)  # type: ignore[attr-defined]


def test_every_route_has_an_entry(service: Service) -> None:
    served = [f"{method.upper()} {path}" for path, item in service.app.openapi()["paths"].items() for method in item]
    assert sorted(served) == routes()
    assert sorted(ROUTES) == routes()


@dataclass(frozen=True)
class Cast:
    """An organization with rows in every table, and all who may ask for them."""

    service: Service
    client: httpx.Client
    tag: str
    organization_id: str
    credentials: dict[str, str]
    """Name → what follows `Bearer`. Members and persons have tokens."""
    ids: dict[str, str]
    """Noun → a thing of the organization, of the customer whose user is `user`."""

    def ask(self, who: str, route: str, ids: dict[str, str] | None = None, body: Any = None) -> tuple[int, str]:
        """Return status and error code of a request."""
        method, _, path = route.partition(" ")
        headers = {}
        if who in self.credentials:
            headers["Authorization"] = f"Bearer {self.credentials[who]}"
        if who in ("owner", "admin", "analyst", "support", "member of another"):
            headers["X-Organization"] = self.tag
        filled = path.format_map(ids or {name: str(uuid.uuid4()) for name in NAMES})
        sent = None if method in ("GET", "DELETE") else {} if body is None else body
        with self.client.stream(method, filled, headers=headers, json=sent) as answer:
            if answer.status_code < 400:
                return answer.status_code, ""  # a stream of events would never end
            answer.read()
            return answer.status_code, answer.json().get("error", {}).get("code", "")


NAMES: Final = ("slug", "key", "id", "user_id", "event_id")


@pytest.fixture(scope="module")
def cast(service: Service) -> Iterator[Cast]:
    tag, organization_id = f"acme-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    for statement in SEED.split(";\n"):
        if statement.strip():
            service.sql(statement % {"tag": f"'{tag}'", "id": f"'{organization_id}'"})  # type: ignore[arg-type]
    for role in ("admin", "analyst", "support"):
        service.sql("insert into users (id) values (%s)", f"{role}-{tag}")
        service.sql("insert into memberships values (%s, %s, %s)", organization_id, f"{role}-{tag}", role)
    other = f"globex-{tag}"
    revoked = service.key(tag, "admin")
    service.sql("update api_keys set revoked_at = now() where key_hash = %s", hash_secret(revoked))
    user = f"user-{tag}"
    credentials = {
        "expired": expired(service, user),
        "alg none": unsigned(user),
        "wrong key": jwt.encode(claims(user), JWT_SECRET + "!", algorithm="HS256"),
        "another algorithm": jwt.encode(claims(user), JWT_SECRET * 2, algorithm="HS512"),
        "unknown key": "ms_" + "x" * 43,
        "revoked key": revoked,
        "key:ingest": service.key(tag, "ingest"),
        "key:read": service.key(tag, "read"),
        "key:admin": service.key(tag, "admin"),
        "operator": service.operator_key(),
        "owner": service.token(f"member-{tag}"),
        **{role: service.token(f"{role}-{tag}") for role in ("admin", "analyst", "support")},
        "user": service.token(user),
        "another user": service.token(f"another-{tag}"),
        "key of another": service.key(other, "admin"),
        "member of another": service.token(f"stranger-{tag}"),
    }
    service.sql("insert into users (id) values (%s)", f"stranger-{tag}")
    service.sql("insert into memberships values (%s, %s, 'owner')", service.organization_id(other), f"stranger-{tag}")
    ids = ids_of(service, tag, organization_id, user)
    with service.client() as client:
        yield Cast(service, client, tag, organization_id, credentials, ids)
    # Operators see everybody's: other tests count them.
    for table in ("dead_letter_decisions", "dead_letters"):
        service.sql(f"delete from {table} where topic = %s", tag)  # type: ignore[arg-type]


def ids_of(service: Service, tag: str, organization_id: str, user: str) -> dict[str, str]:
    """Return one thing of each noun."""
    ((customer,),) = service.sql("select id::text from customers where user_id = %s", user)
    ids = {"customers": customer, "members": f"analyst-{tag}", "meters": "m", "dead-letters": f"{tag}-0-0"}
    for noun, table in (
        ("payment-methods", "payment_methods"),
        ("subscriptions", "subscriptions"),
        ("invoices", "invoices"),
        ("checkout", "checkouts"),
    ):
        found = service.sql(f"select id::text from {table} where customer_id = %s", customer)  # type: ignore[arg-type]
        ids[noun] = found[0][0]
    for noun, statement in (
        ("plans", "select id::text from pricing_plans where organization_id = %s and state = 'draft'"),
        ("discount-codes", "select id::text from discount_codes where organization_id = %s"),
        ("api-keys", "select id::text from api_keys where organization_id = %s and name = 'key'"),
        ("invitations", "select id::text from invitations where organization_id = %s"),
    ):
        ids[noun] = service.sql(statement, organization_id)[0][0]  # type: ignore[arg-type]
    return ids


def claims(user: str) -> dict[str, Any]:
    return {"sub": user, "aud": "authenticated", "exp": datetime.now(UTC) + timedelta(hours=1)}


def expired(service: Service, user: str) -> str:
    hours = timedelta(hours=1)
    return make_token(
        service.settings.identity, user_id=user, email=None, lifetime=hours, now=datetime.now(UTC) - 2 * hours
    )


def unsigned(user: str) -> str:
    body = claims(user) | {"exp": 4_000_000_000}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, body)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize("route", routes())
def test_who_may_ask(cast: Cast, route: str) -> None:
    """Things that do not exist, and empty bodies: whoever may ask is told so, whoever may not does not get as far."""
    entry = ROUTES[route]
    if not route.partition(" ")[2].startswith(V1) or ("webhooks/stripe" in route and entry == PUBLIC):
        assert cast.ask("nobody", route)[0] not in (401, 403)
        return
    refused = {
        "expired": (401, "EXPIRED_TOKEN"),
        **dict.fromkeys(("alg none", "wrong key", "another algorithm"), (401, "INVALID_TOKEN")),
        **dict.fromkeys(("unknown key", "revoked key"), (401, "INVALID_TOKEN")),
        "member of another": (404, "ORGANIZATION_NOT_FOUND"),
    }
    for who, expected in refused.items():
        assert cast.ask(who, route) == expected, who
    if entry == PUBLIC:
        assert cast.ask("nobody", route)[0] in (200, 400, 404)
        return
    assert cast.ask("nobody", route) == (401, "AUTHENTICATION_REQUIRED")
    may = set(MAY[entry].split())
    for who in ("key:ingest", "key:read", "key:admin", "operator", *EVERYBODY.split(), "user"):
        status, code = cast.ask(who, route)
        if who in may:
            assert status < 400 or status in (400, 404, 422) or code == "STRIPE_NOT_CONFIGURED", (who, status, code)
        else:
            assert (status, code) == (403, "INSUFFICIENT_PERMISSIONS"), who


def test_a_body_that_is_no_json_is_not_discussed_with_nobody(cast: Cast) -> None:
    """Of events the credential is asked first anyway; of the others the framework reads the body first."""
    bad = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    for route in ROUTES:
        method, _, path = route.partition(" ")
        if method in ("POST", "PATCH") and ROUTES[route] != PUBLIC:
            answer = cast.client.request(method, path.format_map(dict.fromkeys(NAMES, "x")), **bad)  # type: ignore[arg-type]
            assert answer.status_code == 401, route
    with cast.service.client(cast.credentials["key:admin"]) as client:
        told = client.post(f"{V1}/plans", **bad).json()["error"]  # type: ignore[arg-type]
    assert told["code"] == "INVALID_INPUT"
    assert told["details"] == {"field": "body"}
    assert told["message"].startswith("The body is not JSON: ")


@pytest.mark.parametrize("role", EVERYBODY.split())
def test_every_member_may_leave(cast: Cast, role: str) -> None:
    leaver = f"leaver-{role}-{cast.tag}"
    cast.service.sql("insert into users (id) values (%s)", leaver)
    cast.service.sql("insert into memberships values (%s, %s, %s)", cast.organization_id, leaver, role)
    with cast.service.client(cast.service.token(leaver), organization=cast.tag) as client:
        if role not in MAY["manage"].split():
            refused = client.delete(f"{V1}/members/admin-{cast.tag}")
            assert (refused.status_code, refused.json()["error"]["details"]) == (403, {"required": "members:write"})
        left = client.delete(f"{V1}/members/{leaver}")
        assert (left.status_code, left.json()["role"]) == (200, role)
    assert cast.service.sql("select 1 from memberships where user_id = %s", leaver) == []


OF_ONE: Final = sorted(
    route for route in ROUTES if "{" in route and "webhooks" not in route and "/invitations/accept" not in route
)
# Of a customer: its user sees it.
OF_CUSTOMERS: Final = ("customers", "payment-methods", "subscriptions", "invoices", "checkout")


def example_of(service: Service, route: str) -> Any:
    """Return a body that fits, as the documentation shows it."""
    method, _, path = route.partition(" ")
    document = service.app.openapi()
    content = document["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
    described = content.get("application/json", {})
    schema = described.get("schema", {})
    names = [part.get("$ref", "").rpartition("/")[2] for part in (schema, *schema.get("anyOf", ()))]
    models = [document["components"]["schemas"][name] for name in names if name]
    return described.get("example") or next((model["example"] for model in models if "example" in model), {})


@pytest.mark.parametrize("route", OF_ONE)
def test_what_belongs_to_another_is_not_there(cast: Cast, route: str) -> None:
    """The same request, about a thing that exists: 404 for other organizations and users, and nothing has changed."""
    noun = route.split("/")[3]
    ids = dict.fromkeys(NAMES, cast.ids[noun]) | {"key": "model"}
    body = example_of(cast.service, route)
    before = everything(cast)
    strangers = ["key of another"]
    if noun in OF_CUSTOMERS and "user" in MAY[ROUTES[route]]:
        strangers.append("another user")
    for who in strangers:
        status, code = cast.ask(who, route, ids, body)
        assert (status, code.endswith("_NOT_FOUND")) == (404, True), (who, status, code)
    assert everything(cast) == before
    # It is there: for whoever it belongs to. (What Stripe would have to be asked for is not here.)
    if route.startswith("GET") and not route.endswith(("/upcoming-invoice", "/pdf")):
        for who in ["owner", "key:admin"] + (["user"] if noun in OF_CUSTOMERS else []):
            assert cast.ask(who, route, ids) == (200, ""), who


def everything(cast: Cast) -> list[Any]:
    """Return what the organization owns, as it is stored."""
    tables = ("pricing_plans", "customers", "payment_methods", "subscriptions", "invoices", "discount_codes")
    more = ("checkouts", "api_keys", "invitations", "memberships", "meters", "audit_log")
    rows = (f"select to_json(t)::text from {table} t where organization_id = %(id)s" for table in (*tables, *more))
    with psycopg.connect(cast.service.settings.postgres.url.get_secret_value()) as connection:
        statement = f"{' union all '.join(rows)} order by 1"
        return connection.execute(statement.encode(), {"id": cast.organization_id}).fetchall()


# Where a thing of the organization is listed, and what is somebody's own anyway is not.
LISTS: Final = sorted(noun for noun in {route.split("/")[3] for route in OF_ONE} if f"GET {V1}/{noun}" in ROUTES)


@pytest.mark.parametrize("noun", LISTS)
def test_lists_show_nobody_else_s(cast: Cast, noun: str) -> None:
    """A thing is in the list of whose it is, and in no list of somebody else's."""
    path = f"{V1}/{noun}"
    everyone = {"limit": "1000"}
    if noun == "plans":  # what is sold is public; the draft is not
        everyone["state"] = "draft"

    def listed(who: str) -> bool:
        found = cast.client.get(path, params=everyone, headers={"Authorization": f"Bearer {cast.credentials[who]}"})
        rows = found.raise_for_status().json()["data"]
        return cast.ids[noun] in {row.get(name) for row in rows for name in ("id", "user_id")}

    if noun != "meters":  # slugs are the same in every organization
        assert listed("key:admin")
    assert not listed("key of another")
    if noun in OF_CUSTOMERS:
        assert (listed("user"), listed("another user")) == (True, False)
