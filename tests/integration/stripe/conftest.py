"""A simulator process a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A Stripe simulator of this test alone, in a process of its own."""
    with simulator_process(tmp_path) as running:
        yield running
