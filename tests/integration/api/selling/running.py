"""The API with Stripe behind it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.engines import TestStack
from tests.integration.api.service import Service, running_service
from tests.integration.stripe.simulator_process import SimulatorProcess


@contextmanager
def selling_service(stack: TestStack, stripe: SimulatorProcess, **api: Any) -> Iterator[Service]:
    """Serve with fresh stores, and settings of the API's own; patience with Stripe is short."""
    name = uuid.uuid4().hex[:10]
    with tempfile.TemporaryDirectory() as folder, stack.postgres_database() as postgres_url:
        settings = stack.settings(
            postgres_url=postgres_url,
            clickhouse_database=f"selling_{name}",
            topic_prefix=f"selling{name}.",
            state_dir=Path(folder),
        )
        changes: dict[str, Any] = {
            "stripe": stripe.settings(max_requests_per_s=1_000, breaker_failures=10_000),
            "api": settings.api.model_copy(update={"stripe_give_up_s": 1.0, **api}),
        }
        with running_service(settings.model_copy(update=changes)) as running:
            yield running
