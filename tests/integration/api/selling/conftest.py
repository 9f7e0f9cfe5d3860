"""One API that sells at a simulator of Stripe in a process of its own, for all tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engines import TestStack
from tests.integration.api.people import Someone, someone
from tests.integration.api.selling.running import selling_service
from tests.integration.api.selling.shop import METER, Shop
from tests.integration.api.service import Service
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[SimulatorProcess]:
    """The simulator of this folder's tests."""
    with tempfile.TemporaryDirectory() as folder, simulator_process(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def service(stack: TestStack, stripe_process: SimulatorProcess) -> Iterator[Service]:
    """The API with fresh stores and Stripe."""
    with selling_service(stack, stripe_process) as running:
        yield running


@pytest.fixture
def stripe(stripe_process: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The simulator, in which nothing goes wrong after the test."""
    yield stripe_process
    stripe_process.control.delete("/_simulator/faults").raise_for_status()


@pytest.fixture
def shop(service: Service, acme: httpx.Client, acme_slug: str, stripe: SimulatorProcess) -> Shop:
    """This test's organization as a seller."""
    acme.post("/api/v1/meters", json=METER).raise_for_status()
    return Shop(service, acme, acme_slug, stripe)


@pytest.fixture
def ada(shop: Shop) -> Someone:
    """A person."""
    return someone(shop.service, "ada")


@pytest.fixture
def asked(ada: Someone) -> Iterator[httpx.Client]:
    """Their client."""
    with ada.client() as client:
        yield client
