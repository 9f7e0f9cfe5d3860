"""One API for all tests of this folder, with organizations of their own; tests that stop engines make another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from tests.engines import TestStack
from tests.integration.api.cast import Cast, made_cast
from tests.integration.api.service import Service, running_service


@pytest.fixture(scope="session")
def service(stack: TestStack) -> Iterator[Service]:
    """The API with fresh stores."""
    with stack.fresh_settings("api") as settings:
        # No worker runs here: what the first test sent would be a stall while the last one asks.
        api = settings.api.model_copy(update={"stalled_after_s": 3600.0})
        # Without a key of Stripe nothing is sold here; a webhook is refused for its signature.
        stripe = settings.stripe.model_copy(update={"webhook_secrets": (SecretStr("whsec_of_these_tests"),)})
        with running_service(settings.model_copy(update={"api": api, "stripe": stripe})) as running:
            yield running


@pytest.fixture(scope="module")
def cast(service: Service) -> Iterator[Cast]:
    """An organization with everything, and all who may ask for it or may not."""
    with made_cast(service) as made:
        yield made


@pytest.fixture
def acme_slug() -> str:
    """The slug of this test's organization."""
    return f"acme-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def acme(service: Service, acme_slug: str) -> Iterator[httpx.Client]:
    """A client with an admin key of this test's organization."""
    with service.client(service.key(acme_slug)) as client:
        yield client


@pytest.fixture
def globex(service: Service) -> Iterator[httpx.Client]:
    """A client with an admin key of another organization."""
    with service.client(service.key(f"globex-{uuid.uuid4().hex[:10]}")) as client:
        yield client


@pytest.fixture
def operator(service: Service) -> Iterator[httpx.Client]:
    """A client with an operator's key."""
    with service.client(service.operator_key()) as client:
        yield client
