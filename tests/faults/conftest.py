"""Engines that a module's tests may kill and restart, and a fresh scene in them for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import TestStack, running_stack
from tests.faults.scene import Scene, scene


@pytest.fixture(scope="module")
def mortal_stack() -> Iterator[TestStack]:
    """Engines of this module alone; a test that stops one starts it again."""
    with running_stack() as running:
        yield running


@pytest.fixture
def calm(stack: TestStack) -> Iterator[Scene]:
    """Fresh stores in the engines that all tests share: do not touch the engines."""
    with scene(stack) as made:
        yield made


@pytest.fixture
def stormy(mortal_stack: TestStack) -> Iterator[Scene]:
    """Fresh stores in engines that may be killed."""
    with scene(mortal_stack) as made:
        yield made
