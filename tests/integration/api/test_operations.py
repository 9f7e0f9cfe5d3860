from __future__ import annotations

import json
import time

import httpx
import pytest
from typer.testing import CliRunner

from cli import keys as keys_module
from cli.main import app
from tests.integration.api.service import Service


def test_alive_and_metrics_need_no_key(service: Service, acme: httpx.Client) -> None:
    acme.get("/api/v1/meters")
    acme.get("/api/v1/meters/none")
    with service.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        text = client.get("/metrics").text
    assert 'meterstream_http_requests_total{method="GET",route="/api/v1/meters",status="200"}' in text
    assert 'route="/api/v1/meters/{slug}",status="404"' in text


def test_request_ids_go_in_and_out(service: Service) -> None:
    with service.client() as client:
        given = client.get("/api/v1/meters", headers={"X-Request-ID": "mine-1"})
        assert (given.headers["x-request-id"], given.json()["request_id"]) == ("mine-1", "mine-1")
        unfit = client.get("/api/v1/meters", headers={"X-Request-ID": "not fit {}"})
        assert len(unfit.headers["x-request-id"]) == 32


def test_unknown_routes_and_methods_have_the_one_shape(service: Service) -> None:
    with service.client() as client:
        unknown = client.get("/api/v1/nothing")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "NOT_FOUND")
        assert unknown.json()["success"] is False
        method = client.put("/api/v1/meters")
        assert (method.status_code, method.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
        problem = client.get("/api/v1/meters", headers={"Accept": "application/problem+json"})
        assert problem.headers["content-type"] == "application/problem+json"
        assert (problem.json()["status"], problem.json()["title"]) == (401, "Unauthorized")


def test_a_bug_is_a_500_without_its_inside(service: Service) -> None:
    @service.app.get("/bug", include_in_schema=False)
    async def bug() -> None:
        raise ZeroDivisionError("the secret inside")

    with service.client() as client:
        answer = client.get("/bug")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "UNEXPECTED_ERROR")
    assert "secret" not in answer.text


def test_a_revoked_key_stops_within_five_seconds(service: Service, acme_slug: str) -> None:
    key = service.key(acme_slug)
    with service.client(key) as client:
        assert client.get("/api/v1/meters").status_code == 200
        service.sql("update api_keys set revoked_at = now() where prefix = %s", key[:11])
        deadline = time.monotonic() + 5
        while client.get("/api/v1/meters").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client.get("/api/v1/meters").json()["error"]["code"] == "INVALID_TOKEN"


def test_keys_of_an_archived_organization_stop(service: Service, acme_slug: str) -> None:
    key = service.key(acme_slug)
    service.sql("update organizations set archived_at = now() where slug = %s", acme_slug)
    with service.client(key) as client:
        assert client.get("/api/v1/meters").status_code == 401


def test_the_secret_of_a_key_is_kept_nowhere(service: Service, acme_slug: str) -> None:
    key = service.key(acme_slug)
    ((row,),) = service.sql("select k::text from api_keys k where prefix = %s", key[:11])
    assert key not in row
    assert key[11:] not in row


def test_keys_from_the_command_line(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "command_settings", lambda: service.settings)
    run = CliRunner().invoke
    missing = run(app, ["keys", "create", "k", "--organization", "cli-org", "--scope", "read"])
    assert (missing.exit_code, "create-organization" in missing.output) == (1, True)
    made = run(
        app,
        ["keys", "create", "k", "--organization", "cli-org", "--create-organization", "--scope", "read", "--json"],
    )
    assert made.exit_code == 0, made.output
    key = json.loads(made.stdout.splitlines()[-1])
    assert key["organization"] == "cli-org"
    with service.client(key["key"]) as client:
        assert client.get("/api/v1/meters").status_code == 200
    listed = run(app, ["keys", "list", "--organization", "cli-org", "--json"])
    assert [known["prefix"] for known in json.loads(listed.stdout)["keys"]] == [key["prefix"]]
    assert run(app, ["keys", "revoke", key["prefix"]]).exit_code == 0
    operator = run(app, ["keys", "create", "o", "--operator", "--json"])
    assert json.loads(operator.stdout.splitlines()[-1])["scopes"] == ["operator"]
    assert run(app, ["keys", "create", "o", "--operator", "--organization", "cli-org"]).exit_code == 1
    assert run(app, ["keys", "create", "o", "--organization", "cli-org", "--scope", "operator"]).exit_code == 1
