"""Limits as clients meet them: headers, 429, who is counted as whom, and a Valkey that dies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.access.authentication import KeyCache
from api.stores import Stores
from devstack.valkey import Valkey
from runtime.settings import Settings, ValkeySettings
from sinks.postgres.api_keys import ApiKey, hash_secret
from tests.engines import TestStack, start_again, wait_for
from tests.integration.api.service import Service, running_service

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def base(stack: TestStack) -> Iterator[Settings]:
    """Settings with schemas and topics behind them, for services with limits of their own."""
    with stack.fresh_settings("limits") as settings, running_service(settings):
        yield settings


@contextmanager
def limited(base: Settings, valkey: ValkeySettings | None = None, **api: Any) -> Iterator[Service]:
    """Serve with limits that last a day: no window ends within a test."""
    changed = {"api": base.api.model_copy(update=api), "valkey": valkey or base.valkey}
    with running_service(base.model_copy(update=changed), migrated=False) as service:
        yield service


def told(answer: httpx.Response) -> tuple[int, int]:
    assert 0 < int(answer.headers["RateLimit-Reset"]) <= 86_400
    return int(answer.headers["RateLimit-Limit"]), int(answer.headers["RateLimit-Remaining"])


def address() -> dict[str, str]:
    """Return the header of a client that nobody else is."""
    return {"X-Forwarded-For": f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"}


def test_a_key_is_counted_by_all_processes_together(base: Settings) -> None:
    with ExitStack() as services:
        one, other = (services.enter_context(limited(base, key_limit="3/day")) for _ in range(2))
        key = one.key(f"acme-{uuid.uuid4().hex[:10]}")
        with one.client(key) as first, other.client(key) as second:
            answers = [client.get("/api/v1/meters") for client in (first, second, first)]
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert [told(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0)]
            refused = second.get("/api/v1/meters")
        assert refused.status_code == 429
        assert told(refused) == (3, 0)
        assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
        error = refused.json()["error"]
        assert error["code"] == "RATE_LIMITED"
        assert error["details"]["limit"] == "3/day"
        with one.client(one.key(f"globex-{uuid.uuid4().hex[:10]}")) as another:
            assert another.get("/api/v1/meters").status_code == 200


def test_who_has_no_good_credential_is_counted_by_address(base: Settings) -> None:
    with limited(base, address_limit="5/day", trusted_proxies=("127.0.0.1",)) as service:
        client = address()
        good = {"Authorization": f"Bearer {service.key(f'acme-{uuid.uuid4().hex[:10]}')}"}
        another = {"Authorization": f"Bearer {service.key(f'acme-{uuid.uuid4().hex[:10]}')}"}
        with httpx.Client(base_url=service.url, headers=client) as http:
            wrong = {"Authorization": "Bearer ms_" + "x" * 43}
            assert http.get("/api/v1/meters", headers=good).status_code == 200  # the address pays for the first time
            answers = [
                http.get("/api/v1/meters"),
                http.get("/api/v1/meters", headers=wrong),
                http.get("/openapi.json", headers=wrong),  # a credential that nobody asks for frees from nothing
                http.get("/no/such/page"),
                http.get("/api/v1/meters", headers=wrong),
                http.get("/api/v1/meters"),
                http.get("/api/v1/meters", headers=another),  # nobody knows yet that it is good
                http.get("/api/v1/meters", headers=good),
            ]
            assert [answer.status_code for answer in answers] == [401, 401, 200, 404, 429, 429, 429, 200]
            assert [told(answer) for answer in answers[:7]] == [(5, 3), (5, 2), (5, 1), (5, 0), *[(5, 0)] * 3]
            assert answers[4].json()["error"]["code"] == "RATE_LIMITED"
            assert [http.get(path).status_code for path in ("/healthz", "/metrics")] == [200, 200]
            assert http.post("/api/v1/webhooks/stripe", content=b"{}").status_code in (400, 503)
            assert http.get("/api/v1/webhooks/stripe/events").status_code == 429
            neighbour = client["X-Forwarded-For"].replace("::1", "::2:3")
            assert http.get("/openapi.json", headers={"X-Forwarded-For": neighbour}).status_code == 429
            assert http.get("/openapi.json", headers=address()).status_code == 200


class CountingKeys(KeyCache):
    """Counts how often a key is looked up."""

    asked = 0

    async def find(self, stores: Stores, secret: str) -> ApiKey:
        """Look up and count."""
        self.asked += 1
        return await super().find(stores, secret)


@pytest.mark.parametrize("path", ["/api/v1/meters", "/api/v1/plans?organization=acme"])
def test_keys_that_are_guessed_are_looked_up_no_more_often_than_the_limit_says(base: Settings, path: str) -> None:
    with limited(base, address_limit="5/day", trusted_proxies=("127.0.0.1",)) as service:
        service.app.state.keys = keys = CountingKeys()
        with httpx.Client(base_url=service.url, headers=address()) as http:
            guesses = [{"Authorization": f"Bearer ms_{number:043}"} for number in range(20)]
            answers = [http.get(path, headers=guess) for guess in guesses]
            assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 15
            assert keys.asked == 5
            assert told(answers[-1]) == (5, 0)
            # No route was met: what refuses stands before the application.
            lines = http.get("/metrics").text.splitlines()
            assert 'meterstream_http_requests_total{method="GET",route="unknown",status="429"} 15.0' in lines


def test_a_credential_that_was_good_is_believed_once_more_at_most(base: Settings) -> None:
    with limited(base, address_limit="3/day", trusted_proxies=("127.0.0.1",)) as service:
        secret = service.key(f"acme-{uuid.uuid4().hex[:10]}")
        with httpx.Client(base_url=service.url, headers=address()) as http:
            good = {"Authorization": f"Bearer {secret}"}
            assert [http.get("/api/v1/meters", headers=good).status_code for _ in range(5)] == [200] * 5
            service.sql("update api_keys set revoked_at = now() where key_hash = %s", hash_secret(secret))
            service.app.state.keys = KeyCache()  # it would be found for some seconds yet
            assert [http.get("/api/v1/meters", headers=good).status_code for _ in range(4)] == [401, 401, 429, 429]


def test_x_forwarded_for_is_believed_from_proxies_of_ours_alone(base: Settings) -> None:
    with limited(base, address_limit="100000/day") as service, httpx.Client(base_url=service.url) as http:
        left = [told(http.get("/openapi.json", headers=address()))[1] for _ in range(2)]
    assert left[0] - left[1] == 1


def test_a_dead_valkey_lets_everybody_pass(base: Settings, own_valkey: Valkey) -> None:
    valkey = ValkeySettings(url=SecretStr(own_valkey.url), timeout_s=5.0)
    with limited(base, valkey, key_limit="2/day") as service, service.client() as client:
        client.headers["Authorization"] = f"Bearer {service.key(f'acme-{uuid.uuid4().hex[:10]}')}"
        assert [client.get("/api/v1/meters").status_code for _ in range(3)] == [200, 200, 429]
        own_valkey.process.kill()
        answers = [client.get("/api/v1/meters") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert "RateLimit-Limit" not in answers[0].headers
        skipped = "meterstream_rate_limits_skipped_total 5.0"
        assert skipped in client.get("/metrics").text.splitlines()
        start_again(own_valkey)
        wait_for("counting goes on", lambda: client.get("/api/v1/meters").status_code == 429)
