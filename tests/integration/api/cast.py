"""Two organizations with rows in every table, and all who may ask for them, or may not."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import jwt
import psycopg

from api.access.tokens import make_token
from metering.meters import build_meter
from sinks.postgres.api_keys import hash_secret
from tests.engines import JWT_SECRET
from tests.integration.api.seed import store_events
from tests.integration.api.service import Service
from tests.integration.sinks.postgres.two_tenants import SEED

V1: Final = "/api/v1"
NAMES: Final = ("slug", "key", "id", "user_id", "event_id")
"""What paths call their ids."""


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

    @property
    def other(self) -> str:
        """Return the slug of an organization that has as much."""
        return f"globex-{self.tag}"

    def headers(self, who: str) -> dict[str, str]:
        """Return what somebody sends to say who they are, and for whom they act."""
        headers = {}
        if who in self.credentials:
            headers["Authorization"] = f"Bearer {self.credentials[who]}"
        if who in ("owner", "admin", "analyst", "support", "member of another"):
            headers["X-Organization"] = self.tag
        elif who == "member of another for their own":
            headers["X-Organization"] = self.other
        return headers

    def ask(self, who: str, route: str, ids: dict[str, str] | None = None, body: Any = None) -> tuple[int, str]:
        """Return status and error code of a request."""
        method, _, path = route.partition(" ")
        filled = path.format_map(ids or {name: str(uuid.uuid4()) for name in NAMES})
        sent = None if method in ("GET", "DELETE") else {} if body is None else body
        with self.client.stream(method, filled, headers=self.headers(who), json=sent) as answer:
            if answer.status_code < 400:
                return answer.status_code, ""  # a stream of events would never end
            answer.read()
            return answer.status_code, answer.json().get("error", {}).get("code", "")


@contextmanager
def made_cast(service: Service) -> Iterator[Cast]:
    """Make an organization with everything, another one, and people of both."""
    tag, organization_id = f"acme-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    other, other_id = f"globex-{tag}", str(uuid.uuid4())
    for slug, tenant in ((tag, organization_id), (other, other_id)):
        for statement in SEED.split(";\n"):
            if statement.strip():
                service.sql(statement % {"tag": f"'{slug}'", "id": f"'{tenant}'"})  # type: ignore[arg-type]
    service.sql(
        "update invoices i set subscription_id = s.id from subscriptions s where s.customer_id = i.customer_id"
        " and s.organization_id = %s",
        organization_id,
    )
    # Slugs are an organization's own: this one nobody else has.
    rename = "update meters set slug = %s where organization_id = %s returning id::text"
    ((meter_id,),) = service.sql(rename, f"m-{tag}", organization_id)
    meter = build_meter(
        id=meter_id, organization_id=organization_id, slug=f"m-{tag}", event_type="t", aggregation="COUNT"
    )
    event = {"id": f"event-{tag}", "subject": f"subject-{tag}", "type": "t", "data": {}}
    store_events(service, organization_id, [event], meters=[meter])
    for role in ("admin", "analyst", "support"):
        service.sql("insert into users (id) values (%s)", f"{role}-{tag}")
        service.sql("insert into memberships values (%s, %s, %s)", organization_id, f"{role}-{tag}", role)
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
        **dict.fromkeys(("member of another", "member of another for their own"), service.token(f"member-{other}")),
    }
    ids = ids_of(service, tag, organization_id, user)
    with service.client() as client:
        yield Cast(service, client, tag, organization_id, credentials, ids)
    # Operators see everybody's: other tests count them.
    for table in ("dead_letter_decisions", "dead_letters"):
        service.sql(f"delete from {table} where topic = any(%s)", [tag, other])  # type: ignore[arg-type]


def ids_of(service: Service, tag: str, organization_id: str, user: str) -> dict[str, str]:
    """Return one thing of each noun."""
    ((customer,),) = service.sql("select id::text from customers where user_id = %s", user)
    ids = {"customers": customer, "members": f"analyst-{tag}", "meters": f"m-{tag}", "dead-letters": f"{tag}-0-0"}
    ids |= {"events": f"event-{tag}", "subjects": f"subject-{tag}"}
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
        ("audit-log", "select id::text from audit_log where organization_id = %s"),
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


def everything(cast: Cast) -> list[Any]:
    """Return what the organization owns, as it is stored."""
    tables = ("pricing_plans", "customers", "payment_methods", "subscriptions", "invoices", "discount_codes")
    more = ("checkouts", "api_keys", "invitations", "memberships", "meters", "audit_log")
    rows = (f"select to_json(t)::text from {table} t where organization_id = %(id)s" for table in (*tables, *more))
    with psycopg.connect(cast.service.settings.postgres.url.get_secret_value()) as connection:
        statement = f"{' union all '.join(rows)} order by 1"
        return connection.execute(statement.encode(), {"id": cast.organization_id}).fetchall()
