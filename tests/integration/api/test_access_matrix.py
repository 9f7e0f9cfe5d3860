"""Who may ask for what: every route × every kind of credential. A route without an entry here fails."""

from __future__ import annotations

from typing import Final

import pytest
from fastapi.routing import APIRoute

from api import app as application
from tests.integration.api.cast import NAMES, V1, Cast, everything, example_of
from tests.integration.api.service import Service

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


@pytest.mark.parametrize("route", OF_ONE)
def test_what_belongs_to_another_is_not_there(cast: Cast, route: str) -> None:
    """The same request, about a thing that exists: 404 for other organizations and users, and nothing has changed."""
    noun = route.split("/")[3]
    ids = dict.fromkeys(NAMES, cast.ids[noun]) | {"key": "model"}
    body = example_of(cast.service, route)
    before = everything(cast)
    strangers = ["key of another"]
    if ROUTES[route] == PUBLIC or "owner" in MAY[ROUTES[route]].split():
        strangers.append("member of another for their own")
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


# Where a thing of the organization is listed, and what is somebody's own anyway is not.
LISTS: Final = sorted(
    noun
    for noun in {route.split("/")[3] for route in OF_ONE} | {"audit-log", "events", "subjects"}
    if f"GET {V1}/{noun}" in ROUTES
)
NAMED: Final = ("id", "user_id", "slug", "subject")
"""Under which names lists tell which thing a row is."""


@pytest.mark.parametrize("noun", LISTS)
def test_lists_show_nobody_else_s(cast: Cast, noun: str) -> None:
    """A thing is in the list of whose it is, and in no list of somebody else's."""
    path = f"{V1}/{noun}"
    everyone = {"limit": "1000"}
    if noun == "plans":  # what is sold is public; the draft is not
        everyone["state"] = "draft"

    def listed(who: str) -> bool:
        found = cast.client.get(path, params=everyone, headers=cast.headers(who))
        rows = found.raise_for_status().json()["data"]
        return cast.ids[noun] in {str(row.get(name)) for row in rows for name in NAMED}

    assert [listed(who) for who in ("key:admin", "owner")] == [True, True]
    assert [listed(who) for who in ("key of another", "member of another for their own")] == [False, False]
    if noun in OF_CUSTOMERS:
        assert (listed("user"), listed("another user")) == (True, False)
