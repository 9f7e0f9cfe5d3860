"""Pages of other origins, as a browser asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.api.service import Service, running_service

pytestmark = pytest.mark.integration

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def open_service(service: Service) -> Iterator[Service]:
    """The same stores, for pages of one origin."""
    api = service.settings.api.model_copy(update={"cors_origins": (ORIGIN,), "address_limit": "3/day"})
    with running_service(service.settings.model_copy(update={"api": api}), migrated=False) as running:
        yield running


def preflight(service: Service, origin: str, *headers: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": ", ".join(headers),
    }
    return httpx.options(f"{service.url}/api/v1/customers/x", headers=asked)


def test_a_page_may_send_what_the_api_reads(open_service: Service) -> None:
    sent = ("authorization", "content-type", "idempotency-key", "x-organization", "last-event-id")
    for _ in range(5):  # never counted: it carries no credential
        answer = preflight(open_service, ORIGIN, *sent)
        assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert preflight(open_service, ORIGIN, "x-other").status_code == 400
    assert "Access-Control-Allow-Origin" not in preflight(open_service, "https://evil.example", *sent).headers


def test_a_page_may_read_every_answer(open_service: Service) -> None:
    with httpx.Client(base_url=open_service.url, headers={"Origin": ORIGIN}) as http:
        answers = [http.get("/api/v1/meters") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = set(answer.headers["Access-Control-Expose-Headers"].lower().split(", "))
        named = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-request-id"}
        assert named <= exposed & set(answer.headers)
        assert {"retry-after", "idempotent-replayed", "etag"} <= exposed
    other = httpx.get(f"{open_service.url}/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_without_the_setting_no_page_may_read_anything(service: Service) -> None:
    answers = (
        preflight(service, ORIGIN, "authorization"),
        httpx.get(f"{service.url}/healthz", headers={"Origin": ORIGIN}),
    )
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
