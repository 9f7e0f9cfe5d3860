"""The simulator that these tests talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.devstack.stripe_simulator.simulator import Simulator, running


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Run one in this process, empty."""
    async with running() as found:
        yield found
