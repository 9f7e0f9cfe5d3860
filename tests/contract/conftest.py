"""Ends a run with what was held against Stripe's document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.stripe_document import CHECKED

_KEY = "held_against_stripe"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a process of several hand over what it judged."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEY] = dict(CHECKED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the processes judged."""
    CHECKED.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many requests, answers, lists, errors, objects and events were judged."""
    if CHECKED:
        counts = ", ".join(f"{CHECKED[kind]} {kind}" for kind in sorted(CHECKED))
        terminalreporter.write_line(f"Held against Stripe's OpenAPI document: {counts}.")
