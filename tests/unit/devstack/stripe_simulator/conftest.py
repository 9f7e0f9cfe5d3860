"""The simulator that these tests talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devstack.stripe_simulator.world import public
from tests.contract.stripe_document import check_event
from tests.unit.devstack.stripe_simulator.simulator import Simulator, running


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Run one in this process, empty; in the end all its events must fit Stripe's document."""
    async with running() as found:
        yield found
        events = found.world.find("event")
        assert {event["type"]: problems for event in events if (problems := check_event(public(event)))} == {}
