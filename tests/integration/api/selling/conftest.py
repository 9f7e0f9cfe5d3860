"""One API that sells at a simulator of Stripe in a process of its own, for all tests of this folder."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines import TestStack
from tests.integration.api.selling.shop import Shop
from tests.integration.api.service import Service, running_service
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[SimulatorProcess]:
    """The simulator of this folder's tests."""
    with tempfile.TemporaryDirectory() as folder, simulator_process(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def service(stack: TestStack, stripe_process: SimulatorProcess) -> Iterator[Service]:
    """The API with fresh stores and Stripe."""
    name = uuid.uuid4().hex[:10]
    with tempfile.TemporaryDirectory() as folder, stack.postgres_database() as postgres_url:
        settings = stack.settings(
            postgres_url=postgres_url,
            clickhouse_database=f"selling_{name}",
            topic_prefix=f"selling{name}.",
            state_dir=Path(folder),
        )
        changes: dict[str, Any] = {
            "stripe": stripe_process.settings(max_requests_per_s=1_000, breaker_failures=10_000),
            "api": settings.api.model_copy(update={"stripe_give_up_s": 1.0}),
        }
        with running_service(settings.model_copy(update=changes)) as running:
            yield running


@pytest.fixture
def stripe(stripe_process: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The simulator, in which nothing goes wrong after the test."""
    yield stripe_process
    stripe_process.control.delete("/_simulator/faults").raise_for_status()


@pytest.fixture
def shop(service: Service, acme: httpx.Client, acme_slug: str, stripe: SimulatorProcess) -> Shop:
    """This test's organization as a seller."""
    return Shop(service, acme, acme_slug, stripe)
