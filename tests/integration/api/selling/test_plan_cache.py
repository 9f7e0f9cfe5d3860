"""Public plans from the cache: the same bytes, to nobody in particular, and never older than a change."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from devstack.valkey import Valkey
from runtime.settings import ValkeySettings
from tests.engines import wait_for
from tests.integration.api.selling.shop import Shop
from tests.integration.api.service import Service, running_service

pytestmark = pytest.mark.integration


@pytest.fixture
def public(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def elsewhere(service: Service) -> Iterator[httpx.Client]:
    """A client of another process of the same service."""
    with running_service(service.settings, migrated=False) as other, other.client() as client:
        yield client


def answers(client: httpx.Client) -> dict[str, float]:
    """Return how many cached answers came from where."""
    counts = {"own": 0.0, "shared": 0.0, "store": 0.0}
    for line in client.get("/metrics").text.splitlines():
        for source in counts:
            if line.startswith(f'meterstream_cached_answers_total{{group="plans",source="{source}"}}'):
                counts[source] = float(line.rpartition(" ")[2])
    return counts


def names(client: httpx.Client, shop: Shop) -> list[str]:
    answer = client.get("/api/v1/plans", params={"organization": shop.slug})
    assert answer.status_code == 200, answer.text
    return [plan["name"] for plan in answer.json()["data"]]


def test_a_change_is_seen_at_once_here_and_soon_in_every_other_process(
    shop: Shop, public: httpx.Client, elsewhere: httpx.Client
) -> None:
    assert names(public, shop) == []
    assert names(elsewhere, shop) == []
    plan = shop.sell()
    assert names(public, shop) == ["Team"]
    wait_for("the other process hears of it", lambda: names(elsewhere, shop) == ["Team"], timeout_s=10)
    answer = shop.client.patch(f"/api/v1/plans/{plan['id']}", json={"name": "Teams"})
    assert answer.status_code == 200, answer.text
    assert names(public, shop) == ["Teams"]
    wait_for("the other process hears of it", lambda: names(elsewhere, shop) == ["Teams"], timeout_s=10)


def test_repeated_answers_are_copies_from_this_process_or_another(
    shop: Shop, public: httpx.Client, elsewhere: httpx.Client
) -> None:
    plan = shop.sell()
    url = f"/api/v1/plans/{plan['id']}"
    first = public.get(url)
    assert first.status_code == 200
    before = answers(public)
    again = public.get(url)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    after = answers(public)
    assert after["own"] + after["shared"] == before["own"] + before["shared"] + 1
    assert after["store"] == before["store"]
    there = elsewhere.get(url)
    assert there.content == first.content
    assert answers(elsewhere) == {"own": 0, "shared": 1, "store": 0}


def test_who_has_the_answer_is_not_sent_it_again(shop: Shop, public: httpx.Client) -> None:
    plan = shop.sell()
    url = f"/api/v1/plans/{plan['id']}"
    etag = public.get(url).headers["etag"]
    with httpx.Client(base_url=shop.service.url) as client:
        for header in (etag, f'W/{etag}, "other"', "*"):
            answer = client.get(url, headers={"If-None-Match": header})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_who_has_a_credential_is_answered_alone(shop: Shop, public: httpx.Client) -> None:
    """Drafts are the organization's to see: neither may its answer be kept, nor the public's be given to it."""
    draft = shop.client.post("/api/v1/plans", json={**_DRAFT, "slug": "secret"})
    assert draft.status_code == 201, draft.text
    url = f"/api/v1/plans/{draft.json()['id']}"
    assert public.get(url).status_code == 404
    assert shop.client.get(url).status_code == 200
    assert public.get(url).status_code == 404
    assert shop.client.get(url).status_code == 200


def test_without_valkey_plans_come_from_postgres(shop: Shop, own_valkey: Valkey) -> None:
    valkey = ValkeySettings(url=SecretStr(own_valkey.url), timeout_s=5.0)
    settings = shop.service.settings.model_copy(update={"valkey": valkey})
    with running_service(settings, migrated=False) as service, service.client() as client:
        plan = shop.sell()
        assert names(client, shop) == ["Team"]
        own_valkey.process.kill()
        wait_for("copies are trusted no more", lambda: answers_from_store(client, shop), timeout_s=20)
        shop.client.patch(f"/api/v1/plans/{plan['id']}", json={"name": "Teams"}).raise_for_status()
        assert names(client, shop) == ["Teams"]


def answers_from_store(client: httpx.Client, shop: Shop) -> bool:
    before = answers(client)["store"]
    names(client, shop)
    return answers(client)["store"] > before


_DRAFT = {
    "name": "Draft",
    "prices": [
        {"slug": "base", "kind": "flat", "interval": "month", "currencies": {"usd": {"amount": "49.00"}}},
    ],
}
