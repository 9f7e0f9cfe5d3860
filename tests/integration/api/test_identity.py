"""Organizations, members, invitations, API keys and the audit log, as people and programs use them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.access.tokens import make_token
from cli.keys import keys
from tests.engines import wait_for
from tests.integration.api.people import Someone, someone
from tests.integration.api.service import Service, running_service


@pytest.fixture
def slug() -> str:
    return f"org-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def ada(service: Service, slug: str) -> Someone:
    """The owner of this test's organization."""
    ada = someone(service, "ada")
    ada.found(slug)
    return ada


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def actions(client: httpx.Client, **filters: str) -> list[str]:
    return [row["action"] for row in client.get("/api/v1/audit-log", params=filters).raise_for_status().json()["data"]]


def test_who_founds_an_organization_owns_it(service: Service, ada: Someone, slug: str) -> None:
    with ada.client() as client:
        (own,) = client.get("/api/v1/organizations").json()["data"]
        assert (own["slug"], own["name"], own["role"]) == (slug, slug, "owner")
        assert code(client.post("/api/v1/organizations", json={"slug": slug})) == (409, "ORGANIZATION_EXISTS")
        assert code(client.get("/api/v1/organization")) == (403, "INSUFFICIENT_PERMISSIONS")
        for body in ({}, {"slug": "Upper"}, {"slug": "x", "name": ""}, {"slug": "x", "owner": "me"}, {"slug": "a\x00"}):
            assert client.post("/api/v1/organizations", json=body).status_code == 400, body
    with ada.client(slug) as client:
        renamed = client.patch("/api/v1/organization", json={"name": "Acme Inc."}).json()
        assert client.get("/api/v1/organization").json() == renamed
        assert (renamed["id"], renamed["name"]) == (own["id"], "Acme Inc.")
        rows = client.get("/api/v1/audit-log").json()["data"]
        assert [row["action"] for row in rows] == ["organization.rename", "organization.create"]
        assert (rows[0]["before"], rows[0]["after"]) == ({"name": slug}, {"name": "Acme Inc."})
        assert (rows[0]["actor"], rows[0]["address"]) == (f"user {ada.user_id}", "127.0.0.1")
        # It counts: events are taken for it.
        event = {"id": "1", "type": "t", "subject": "s"}
        assert client.post("/api/v1/events", json=event).json()["accepted"] == 1
    assert len(service.records(slug)) == 1


@contextmanager
def limited(service: Service, **api: Any) -> Iterator[Service]:
    """Serve the same stores with other limits."""
    settings = service.settings.model_copy(update={"api": service.settings.api.model_copy(update=api)})
    with running_service(settings, migrated=False) as running:
        yield running


def test_a_person_owns_so_many_organizations(service: Service, slug: str) -> None:
    ada, bob = someone(service, "ada"), someone(service, "bob")
    with ada.client() as client, ThreadPoolExecutor(5) as threads:
        bodies = [{"slug": f"{slug}-{number}"} for number in range(5)]
        answers = list(threads.map(lambda body: client.post("/api/v1/organizations", json=body), bodies))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 422, 422]
        refused = next(answer for answer in answers if answer.status_code == 422)
        assert code(refused) == (422, "TOO_MANY_ORGANIZATIONS")
        assert refused.json()["error"]["details"] == {"limit": 3}
        owned = [row["slug"] for row in client.get("/api/v1/organizations").json()["data"]]
        assert len(owned) == 3
        assert service.sql("select count(*) from organizations where slug like %s", f"{slug}-%") == [(3,)]
    ada.invite(bob, owned[0], "owner")
    with bob.client(owned[0]) as client:
        client.delete(f"/api/v1/members/{ada.user_id}").raise_for_status()
    ada.found(f"{slug}-again")


def test_only_operators_make_organizations_where_nobody_may_own_one(service: Service, slug: str) -> None:
    with limited(service, max_organizations_each=0) as closed, someone(closed, "ada").client() as client:
        answer = client.post("/api/v1/organizations", json={"slug": slug})
    assert code(answer) == (422, "TOO_MANY_ORGANIZATIONS")
    assert service.sql("select from organizations where slug = %s", slug) == []
    service.key(slug)


def test_nobody_takes_the_name_of_the_server_s_own_organization(service: Service, slug: str) -> None:
    with limited(service, organization=slug) as own, someone(own, "eve").client() as client:
        answer = client.post("/api/v1/organizations", json={"slug": slug})
    assert code(answer) == (409, "ORGANIZATION_RESERVED")
    assert service.sql("select from organizations where slug = %s", slug) == []


def test_an_organization_has_so_many_keys(service: Service, slug: str) -> None:
    with limited(service, max_api_keys_each=3) as few:
        ada = someone(few, "ada")
        ada.found(slug)
        with ada.client(slug) as client, ThreadPoolExecutor(5) as threads:
            body = {"name": "k", "scopes": ["read"]}
            answers = list(threads.map(lambda _: client.post("/api/v1/api-keys", json=body), range(5)))
            assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 422, 422]
            refused = next(answer for answer in answers if answer.status_code == 422)
            assert code(refused) == (422, "TOO_MANY_API_KEYS")
            made = next(answer.json() for answer in answers if answer.status_code == 201)
            client.delete(f"/api/v1/api-keys/{made['id']}").raise_for_status()
            assert client.post("/api/v1/api-keys", json=body).status_code == 201


def test_another_s_organization_is_as_unknown_as_none(service: Service, ada: Someone, slug: str) -> None:
    stranger = someone(service, "eve")
    for name in (slug, f"{slug}-x", "No slug", "", "x" * 5000):
        with stranger.client(name) as client:
            answer = client.get("/api/v1/organization")
            assert code(answer) == (404, "ORGANIZATION_NOT_FOUND"), name
    with service.client(service.key(f"globex-{slug}"), organization=slug) as client:
        assert code(client.get("/api/v1/organization")) == (404, "ORGANIZATION_NOT_FOUND")
    with stranger.client() as client:
        assert client.get("/api/v1/organizations").json()["data"] == []


def test_an_invitation_is_for_one_address_and_works_once(service: Service, ada: Someone, slug: str) -> None:
    bob, eve = someone(service, "bob"), someone(service, "eve")
    with ada.client(slug) as client:
        made = client.post("/api/v1/invitations", json={"email": bob.email.upper(), "role": "analyst"})
        assert made.status_code == 201
        token = made.json().pop("token")
        (listed,) = client.get("/api/v1/invitations").json()["data"]
        assert token not in str(listed)
        assert listed["id"] == made.json()["id"]
        for body in ({"email": "no address", "role": "admin"}, {"email": bob.email, "role": "king"}, {}):
            assert client.post("/api/v1/invitations", json=body).status_code == 400
    with eve.client() as client:
        refused = client.post("/api/v1/invitations/accept", json={"token": token})
        assert code(refused) == (403, "INVITED_UNDER_ANOTHER_EMAIL")
        unknown = client.post("/api/v1/invitations/accept", json={"token": "inv_unknown"})
        assert code(unknown) == (404, "INVITATION_NOT_FOUND")
    with bob.client() as client:
        joined = client.post("/api/v1/invitations/accept", json={"token": token})
        assert joined.json() == {"organization": slug, "role": "analyst"}
        assert code(client.post("/api/v1/invitations/accept", json={"token": token})) == (422, "INVITATION_NOT_OPEN")
    with bob.client(slug) as client:
        assert client.get("/api/v1/meters").status_code == 200
        refused = client.post("/api/v1/meters", json={"slug": "m", "event_type": "t", "aggregation": "COUNT"})
        assert code(refused) == (403, "INSUFFICIENT_PERMISSIONS")
        assert "analyst" in refused.json()["error"]["message"]
        assert code(client.get("/api/v1/audit-log")) == (403, "INSUFFICIENT_PERMISSIONS")
        emails = {row["email"] for row in client.get("/api/v1/members").json()["data"]}
        assert emails == {ada.email, bob.email}
    with ada.client(slug) as client:
        assert actions(client) == ["invitation.accept", "invitation.create", "organization.create"]
        again = client.post("/api/v1/invitations", json={"email": bob.email, "role": "admin"}).json()["token"]
    with bob.client() as client:
        member = client.post("/api/v1/invitations/accept", json={"token": again})
        assert code(member) == (409, "ALREADY_A_MEMBER")


def test_a_revoked_or_old_invitation_is_worthless(service: Service, ada: Someone, slug: str) -> None:
    bob = someone(service, "bob")
    with ada.client(slug) as client:
        made = [
            client.post("/api/v1/invitations", json={"email": bob.email, "role": "support"}).json() for _ in range(2)
        ]
        for _ in range(2):
            assert client.delete(f"/api/v1/invitations/{made[0]['id']}").json()["revoked_at"] is not None
        assert actions(client, target=made[0]["id"]) == ["invitation.revoke", "invitation.create"]
        assert code(client.delete(f"/api/v1/invitations/{uuid.uuid4()}")) == (404, "INVITATION_NOT_FOUND")
        first = client.get("/api/v1/invitations", params={"limit": 1}).json()
        second = client.get("/api/v1/invitations", params={"cursor": first["next_cursor"]}).json()
        assert [row["id"] for row in first["data"] + second["data"]] == [made[1]["id"], made[0]["id"]]
    service.sql("update invitations set expires_at = now() where id = %s", made[1]["id"])
    with bob.client() as client:
        for invitation in made:
            refused = client.post("/api/v1/invitations/accept", json={"token": invitation["token"]})
            assert code(refused) == (422, "INVITATION_NOT_OPEN")
    with someone(service, "globex").client() as client:
        client.post("/api/v1/organizations", json={"slug": f"other-{slug}"}).raise_for_status()
        client.headers["X-Organization"] = f"other-{slug}"
        assert code(client.delete(f"/api/v1/invitations/{made[1]['id']}")) == (404, "INVITATION_NOT_FOUND")


def test_only_owners_make_owners_and_the_last_one_stays(service: Service, ada: Someone, slug: str) -> None:
    bob = someone(service, "bob")
    ada.invite(bob, slug, "admin")
    with bob.client(slug) as client:
        refused = client.patch(f"/api/v1/members/{bob.user_id}", json={"role": "owner"})
        assert code(refused) == (403, "INSUFFICIENT_PERMISSIONS")
        assert refused.json()["error"]["details"] == {"required": "owner"}
        invited = client.post("/api/v1/invitations", json={"email": bob.email, "role": "owner"})
        assert code(invited) == (403, "INSUFFICIENT_PERMISSIONS")
        # Nor by the way of a key, which an admin may make.
        key = client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["admin"]}).json()["key"]
    with service.client(key) as program:
        refused = program.patch(f"/api/v1/members/{bob.user_id}", json={"role": "owner"})
        assert code(refused) == (403, "INSUFFICIENT_PERMISSIONS")
    with ada.client(slug) as client:
        assert code(client.delete(f"/api/v1/members/{ada.user_id}")) == (422, "LAST_OWNER")
        assert code(client.patch(f"/api/v1/members/{ada.user_id}", json={"role": "admin"})) == (422, "LAST_OWNER")
        assert client.patch(f"/api/v1/members/{ada.user_id}", json={"role": "owner"}).status_code == 200
        assert code(client.delete("/api/v1/members/nobody")) == (404, "MEMBER_NOT_FOUND")
        assert code(client.delete("/api/v1/members/%00")) == (404, "MEMBER_NOT_FOUND")
        assert client.patch(f"/api/v1/members/{bob.user_id}", json={"role": "owner"}).json()["role"] == "owner"
        assert client.delete(f"/api/v1/members/{ada.user_id}").json()["user_id"] == ada.user_id
    with bob.client(slug) as client:
        wait_for("bob is seen as owner", lambda: client.delete("/api/v1/members/x").status_code == 404)
        assert actions(client, target=ada.user_id) == ["member.remove", "member.change_role"]
    with ada.client(slug) as client:
        wait_for("ada is out", lambda: client.get("/api/v1/organization").status_code == 404, timeout_s=15)


def test_who_is_removed_has_no_way_back(service: Service, ada: Someone, slug: str) -> None:
    bob, accomplice = someone(service, "bob"), someone(service, "accomplice")
    ada.invite(bob, slug, "admin")
    with ada.client(slug) as owner, bob.client(slug) as client:
        kept = owner.post("/api/v1/invitations", json={"email": "other@example.com", "role": "analyst"}).json()
        for_bob = owner.post("/api/v1/invitations", json={"email": bob.email.upper(), "role": "admin"}).json()
        by_bob = client.post("/api/v1/invitations", json={"email": accomplice.email, "role": "admin"}).json()
        body = {"name": "bob's", "scopes": ["admin"]}
        keys = [client.post("/api/v1/api-keys", json=body).json() for _ in range(2)]
        client.delete(f"/api/v1/api-keys/{keys[1]['id']}").raise_for_status()

        removed = owner.delete(f"/api/v1/members/{bob.user_id}").json()
        live = [{"id": keys[0]["id"], "name": "bob's", "prefix": keys[0]["prefix"]}]
        assert (removed["user_id"], removed["api_keys"]) == (bob.user_id, live)
        # His role is remembered for seconds; what would stay asks for the one he has.
        for path, new in (("invitations", {"email": accomplice.email, "role": "admin"}), ("api-keys", body)):
            assert client.post(f"/api/v1/{path}", json=new).status_code == 404
        assert client.patch(f"/api/v1/members/{ada.user_id}", json={"role": "owner"}).status_code == 404
        open_ones = [row["id"] for row in owner.get("/api/v1/invitations").json()["data"] if not row["revoked_at"]]
        assert kept["id"] in open_ones
        assert not {for_bob["id"], by_bob["id"]} & set(open_ones)
        revoked = owner.get("/api/v1/audit-log", params={"action": "invitation.revoke"}).json()["data"]
        assert {row["target_id"] for row in revoked} == {for_bob["id"], by_bob["id"]}
    for person, invitation in ((accomplice, by_bob), (bob, for_bob)):
        with person.client() as client:
            refused = client.post("/api/v1/invitations/accept", json={"token": invitation["token"]})
            assert code(refused) == (422, "INVITATION_NOT_OPEN")


@pytest.mark.parametrize(("role", "stays"), [("admin", ["admin"]), ("analyst", []), ("owner", ["admin", "owner"])])
def test_who_is_demoted_leaves_no_invitation_that_they_could_not_make(
    service: Service, ada: Someone, slug: str, role: str, stays: list[str]
) -> None:
    bob = someone(service, "bob")
    ada.invite(bob, slug, "owner")
    with ada.client(slug) as owner, bob.client(slug) as client:
        for invited in ("owner", "admin"):
            body = {"email": f"{invited}@example.com", "role": invited}
            client.post("/api/v1/invitations", json=body).raise_for_status()
        client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["read"]}).raise_for_status()
        changed = owner.patch(f"/api/v1/members/{bob.user_id}", json={"role": role}).json()
        assert (changed["role"], len(changed["api_keys"])) == (role, 0 if role in ("owner", "admin") else 1)
        rows = owner.get("/api/v1/invitations").json()["data"]
        assert sorted(row["role"] for row in rows if not row["revoked_at"] and not row["accepted_at"]) == stays
        if role != "owner":  # though remembered as an owner for seconds
            assert client.patch(f"/api/v1/members/{bob.user_id}", json={"role": "owner"}).status_code == 403


def test_two_owners_cannot_remove_each_other(service: Service, slug: str) -> None:
    for number in range(5):
        name, ada, bob = f"{slug}-{number}", someone(service, "ada"), someone(service, "bob")
        ada.found(name)
        ada.invite(bob, name, "owner")
        with ada.client(name) as one, bob.client(name) as two, ThreadPoolExecutor(2) as pool:
            for client in (one, two):
                client.get("/api/v1/organization").raise_for_status()
            removed = [
                pool.submit(one.delete, f"/api/v1/members/{bob.user_id}"),
                pool.submit(two.delete, f"/api/v1/members/{ada.user_id}"),
            ]
            assert sorted(each.result().status_code for each in removed) == [200, 422]


def test_an_organization_that_a_command_made_gets_its_first_owner_from_a_key(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    ada, bob = someone(service, "ada"), someone(service, "bob")
    token = acme.post("/api/v1/invitations", json={"email": ada.email, "role": "owner"}).json()["token"]
    with ada.client() as client:
        assert client.post("/api/v1/invitations/accept", json={"token": token}).json()["role"] == "owner"
    late = acme.post("/api/v1/invitations", json={"email": bob.email, "role": "owner"})
    assert code(late) == (403, "INSUFFICIENT_PERMISSIONS")
    assert acme.post("/api/v1/invitations", json={"email": bob.email, "role": "admin"}).status_code == 201
    refused = acme.post("/api/v1/organizations", json={"slug": f"{acme_slug}-2"})
    assert code(refused) == (403, "INSUFFICIENT_PERMISSIONS")


def test_keys_are_shown_once_and_stop_when_they_are_revoked(service: Service, ada: Someone, slug: str) -> None:
    with ada.client(slug) as client:
        made: dict[str, Any] = client.post(
            "/api/v1/api-keys", json={"name": "checkout", "scopes": ["read", "ingest"]}
        ).json()
        secret = made.pop("key")
        assert secret.startswith(made["prefix"])
        assert client.get("/api/v1/api-keys").json()["data"] == [made]
        for scopes in ([], ["operator"], ["write"]):
            body = {"name": "k", "scopes": scopes}
            assert client.post("/api/v1/api-keys", json=body).status_code == 400
        with service.client(secret) as program:
            assert program.get("/api/v1/meters").status_code == 200
            assert code(program.get("/api/v1/api-keys")) == (403, "INSUFFICIENT_PERMISSIONS")
            assert client.delete(f"/api/v1/api-keys/{made['id']}").json()["revoked_at"] is not None
            wait_for("the key stops", lambda: program.get("/api/v1/meters").status_code == 401, timeout_s=15)
        assert client.delete(f"/api/v1/api-keys/{made['id']}").status_code == 200
        assert actions(client, target=made["id"]) == ["api_key.revoke", "api_key.create"]  # the second changed nothing
        assert code(client.delete(f"/api/v1/api-keys/{uuid.uuid4()}")) == (404, "API_KEY_NOT_FOUND")
        rows = client.get("/api/v1/audit-log", params={"action": "api_key.create"}).json()["data"]
        assert [row["target_id"] for row in rows] == [made["id"]]
        assert secret not in str(rows)
    other = someone(service, "eve")
    other.found(f"other-{slug}")
    with other.client(f"other-{slug}") as client:
        assert code(client.delete(f"/api/v1/api-keys/{made['id']}")) == (404, "API_KEY_NOT_FOUND")
        assert client.get("/api/v1/api-keys").json()["data"] == []
    assert secret not in str(service.sql("select * from api_keys"))


def test_what_the_command_line_does_is_in_the_audit_log(
    service: Service, acme: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixture has made the organization and its key, as `meterstream keys create` does."""
    (key,) = acme.get("/api/v1/api-keys").json()["data"]
    rows = acme.get("/api/v1/audit-log").json()["data"]
    assert [row["action"] for row in rows] == ["api_key.create", "organization.create"]
    assert (rows[0]["actor"], rows[0]["target_id"], rows[0]["after"]["prefix"]) == (
        "command line",
        key["id"],
        key["prefix"],
    )
    monkeypatch.setenv("METERSTREAM_POSTGRES__URL", service.settings.postgres.url.get_secret_value())
    another = acme.post("/api/v1/api-keys", json={"name": "k", "scopes": ["read"]}).json()
    for _ in range(2):
        result = CliRunner().invoke(keys, ["revoke", another["id"], "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["revoked_at"] is not None
    assert actions(acme, target=another["id"]) == ["api_key.revoke", "api_key.create"]
    assert actions(acme, actor="command line") == ["api_key.revoke", "api_key.create", "organization.create"]


def test_the_audit_log_in_pages(ada: Someone, slug: str) -> None:
    with ada.client(slug) as client:
        for number in range(3):
            client.patch("/api/v1/organization", json={"name": f"Acme {number}"}).raise_for_status()
        seen, cursor = [], None
        for _ in range(4):
            params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
            page = client.get("/api/v1/audit-log", params=params).json()
            seen += [row["after"].get("name") for row in page["data"]]
            cursor = page["next_cursor"]
        assert (seen, cursor) == (["Acme 2", "Acme 1", "Acme 0", slug], None)
        assert actions(client, actor="user nobody") == []
        assert client.get("/api/v1/audit-log", params={"cursor": "x"}).status_code == 400


def test_expired_and_forged_differ(service: Service, ada: Someone, slug: str) -> None:
    old = make_token(
        service.settings.identity,
        user_id=ada.user_id,
        email=None,
        lifetime=timedelta(hours=1),
        now=datetime.now(UTC) - timedelta(hours=2),
    )
    for token, expected in ((old, "EXPIRED_TOKEN"), (ada.token[:-4], "INVALID_TOKEN"), ("ms_x", "INVALID_TOKEN")):
        with service.client(token, organization=slug) as client:
            answer = client.get("/api/v1/organization")
            assert code(answer) == (401, expected)
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_meters_leave_their_history(ada: Someone, slug: str) -> None:
    with ada.client(slug) as client:
        body = {"slug": "tokens", "event_type": "t", "aggregation": "COUNT"}
        client.post("/api/v1/meters", json=body).raise_for_status()
        client.patch("/api/v1/meters/tokens", json={"name": "Tokens"}).raise_for_status()
        for _ in range(2):  # a second time changes nothing
            client.delete("/api/v1/meters/tokens").raise_for_status()
        assert actions(client, target="tokens") == ["meter.archive", "meter.rename", "meter.create"]
        archived, renamed, created = client.get("/api/v1/audit-log", params={"target": "tokens"}).json()["data"]
        assert (renamed["before"]["name"], renamed["after"]["name"]) == ("tokens", "Tokens")
        assert (created["before"], created["after"]["aggregation"]) == (None, "COUNT")
        assert (archived["before"]["archived_at"], archived["after"]["archived_at"] is None) == (None, False)
