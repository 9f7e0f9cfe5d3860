"""Fixtures of the tests of the mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.sinks.selling import Shop, open_shop
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration


@pytest.fixture
async def shop(postgres_url: str, simulator: CheckedSimulator) -> AsyncIterator[Shop]:
    """A shop of this test alone."""
    async with open_shop(postgres_url, simulator.settings) as opened:
        yield opened
