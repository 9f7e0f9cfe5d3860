"""Ends a run with what was held against Stripe's document."""

from __future__ import annotations

import pytest

from tests.contract.stripe_document import CHECKED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many requests, answers, lists, errors, objects and events were judged."""
    if CHECKED:
        counts = ", ".join(f"{CHECKED[kind]} {kind}" for kind in sorted(CHECKED))
        terminalreporter.write_line(f"Held against Stripe's OpenAPI document: {counts}.")
