"""`Idempotency-Key`: the same request twice does its work once."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import Any

import httpx
import pytest

from api.http.idempotency import HEADER, REPLAYED
from sinks.postgres import organizations
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.postgres.idempotency import forget_old
from tests.integration.api.people import someone
from tests.integration.api.service import Service

KEYS = "/api/v1/api-keys"
BODY = {"name": "checkout", "scopes": ["read"]}


def key() -> dict[str, str]:
    return {HEADER: uuid.uuid4().hex}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_same_request_gets_the_same_answer(service: Service, acme: httpx.Client) -> None:
    headers = key()
    first = acme.post(KEYS, json=BODY, headers=headers)
    again = acme.post(KEYS, json=BODY, headers=headers)
    assert (first.status_code, REPLAYED.lower() in first.headers) == (201, False)
    assert (again.status_code, again.headers[REPLAYED], again.content) == (201, "true", first.content)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(acme.get(KEYS).json()["data"]) == 2  # the client's own and this one
    # The answer tells a secret, and so does the client's key: neither can be read in the table.
    kept = str(service.sql("select * from idempotency_keys"))
    assert first.json()["key"] not in kept
    assert headers[HEADER] not in kept
    assert acme.post(KEYS, json=BODY, headers=key()).json()["id"] != first.json()["id"]


def test_another_request_under_the_same_key_is_refused(acme: httpx.Client) -> None:
    headers = key()
    acme.post(KEYS, json=BODY, headers=headers).raise_for_status()
    for method, path, body in (
        ("POST", KEYS, BODY | {"name": "other"}),
        ("POST", "/api/v1/invitations", BODY),
        ("DELETE", f"{KEYS}/{uuid.uuid4()}", None),
    ):
        answer = acme.request(method, path, json=body, headers=headers)
        assert code(answer) == (409, "IDEMPOTENCY_KEY_REUSED"), path
    # Reading is no write.
    assert acme.get(KEYS, headers=headers).status_code == 200


def test_another_query_is_another_request(acme: httpx.Client) -> None:
    headers, meter = key(), {"slug": "calls", "event_type": "call", "aggregation": "COUNT"}
    acme.post("/api/v1/meters?dry_run=true", json=meter, headers=headers).raise_for_status()
    assert code(acme.post("/api/v1/meters", json=meter, headers=headers)) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_refusals_are_repeated_too(acme: httpx.Client) -> None:
    headers = key()
    path = f"{KEYS}/{uuid.uuid4()}"
    first, again = acme.delete(path, headers=headers), acme.delete(path, headers=headers)
    assert (first.status_code, again.content, again.headers[REPLAYED]) == (404, first.content, "true")


@pytest.mark.parametrize("given", ["", "x" * 256, "tab\there", "é"])
def test_keys_that_are_none(acme: httpx.Client, given: str) -> None:
    answer = acme.post(KEYS, json=BODY, headers={HEADER: given.encode()})  # type: ignore[dict-item]
    assert answer.status_code == 400, answer.text
    assert acme.post(KEYS, json=BODY, headers={HEADER: "x" * 255}).status_code == 201


def test_keys_are_their_owner_s(service: Service, acme: httpx.Client, globex: httpx.Client) -> None:
    headers = key()
    mine = acme.post(KEYS, json=BODY, headers=headers).json()
    theirs = globex.post(KEYS, json=BODY, headers=headers)
    assert (theirs.status_code, REPLAYED.lower() in theirs.headers) == (201, False)
    assert theirs.json()["id"] != mine["id"]
    # Who may not write does not get the answer of who may.
    slug = service.sql(
        "select slug from organizations where id = (select organization_id from api_keys where id = %s)", mine["id"]
    )[0][0]
    with service.client(service.key(slug, "read")) as reader:
        assert code(reader.post(KEYS, json=BODY, headers=headers)) == (403, "INSUFFICIENT_PERMISSIONS")
    # A person has keys of their own, with and without an organization.
    ada = someone(service, "ada")
    with ada.client() as client:
        body = {"slug": f"org-{uuid.uuid4().hex[:10]}"}
        answers = [client.post("/api/v1/organizations", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[1].headers[REPLAYED] == "true"


def test_two_members_of_one_organization_have_keys_of_their_own(service: Service) -> None:
    ada, bob = someone(service, "ada"), someone(service, "bob")
    slug = f"org-{uuid.uuid4().hex[:10]}"
    ada.found(slug)
    ada.invite(bob, slug, "admin")
    headers, body = key(), {"slug": f"{slug}-2"}
    with ada.client(slug) as client:
        first = client.post("/api/v1/organizations", json=body, headers=headers)
        assert first.status_code == 201
        assert client.post("/api/v1/organizations", json=body, headers=headers).headers[REPLAYED] == "true"
    with bob.client(slug) as client:
        other = client.post("/api/v1/organizations", json=body, headers=headers)
        assert code(other) == (409, "ORGANIZATION_EXISTS")
        assert REPLAYED.lower() not in other.headers


def test_while_the_first_is_at_work_the_second_is_told_to_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = someone(service, "ada")
    slug = f"org-{uuid.uuid4().hex[:10]}"
    ada.found(slug)
    began, go_on = threading.Event(), threading.Event()
    rename = organizations.rename_organization

    async def slow(*arguments: Any, **named: Any) -> Any:
        began.set()
        await asyncio.to_thread(go_on.wait)
        return await rename(*arguments, **named)

    monkeypatch.setattr("api.tenants.organizations.rename_organization", slow)
    headers, answers = key(), []
    with ada.client(slug) as client:
        first = threading.Thread(
            target=lambda: answers.append(client.patch("/api/v1/organization", json={"name": "A"}, headers=headers))
        )
        first.start()
        try:
            assert began.wait(30)
            with ada.client(slug) as other:
                waiting = other.patch("/api/v1/organization", json={"name": "A"}, headers=headers)
                assert code(waiting) == (409, "IDEMPOTENCY_KEY_IN_USE")
                assert waiting.headers["retry-after"] == "1"
        finally:
            go_on.set()
            first.join()
        assert answers[0].status_code == 200
        assert client.patch("/api/v1/organization", json={"name": "A"}, headers=headers).headers[REPLAYED] == "true"


def test_a_failure_of_ours_is_not_kept(service: Service, acme: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = key()

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("api.tenants.api_keys.create_key", broken)
        assert acme.post(KEYS, json=BODY, headers=headers).status_code == 500
    again = acme.post(KEYS, json=BODY, headers=headers)
    assert (again.status_code, REPLAYED.lower() in again.headers) == (201, False)


def test_what_died_at_work_is_begun_again_and_old_answers_are_forgotten(service: Service, acme: httpx.Client) -> None:
    headers = key()
    first = acme.post(KEYS, json=BODY, headers=headers).json()
    # As if the process had died before it could keep the answer.
    service.sql("update idempotency_keys set status = null, answer = null")
    assert code(acme.post(KEYS, json=BODY, headers=headers)) == (409, "IDEMPOTENCY_KEY_IN_USE")
    service.sql("update idempotency_keys set locked_until = now()")
    assert code(acme.post(KEYS, json=BODY | {"name": "x"}, headers=headers)) == (409, "IDEMPOTENCY_KEY_REUSED")
    second = acme.post(KEYS, json=BODY, headers=headers)
    assert (second.status_code, second.json()["id"] != first["id"]) == (201, True)

    service.sql("update idempotency_keys set created_at = now() - interval '24 hours 1 minute'")
    third = acme.post(KEYS, json=BODY | {"name": "y"}, headers=headers)
    assert (third.status_code, third.json()["name"]) == (201, "y")
    service.sql("update idempotency_keys set created_at = now() - interval '24 hours 1 minute'")
    assert asyncio.run(_forget_old(service)) >= 1
    assert service.sql("select count(*) from idempotency_keys") == [(0,)]


async def _forget_old(service: Service) -> int:
    postgres = PostgresAccess(service.settings.postgres, service="test", role=WORKER_ROLE)
    await postgres.open()
    try:
        async with postgres.connection() as connection:
            return await forget_old(connection)
    finally:
        await postgres.close()
