"""The API with Stripe behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.engines import TestStack
from tests.integration.api.service import Service, running_service
from tests.integration.stripe.simulator_process import SimulatorProcess


@contextmanager
def selling_service(stack: TestStack, stripe: SimulatorProcess, **api: Any) -> Iterator[Service]:
    """Serve with fresh stores, and settings of the API's own; patience with Stripe is short."""
    with stack.fresh_settings("selling") as settings:
        changes: dict[str, Any] = {
            "stripe": stripe.settings(max_requests_per_s=1_000, breaker_failures=10_000),
            "api": settings.api.model_copy(update={"stripe_give_up_s": 2.0, **api}),
        }
        with running_service(settings.model_copy(update=changes)) as running:
            yield running
