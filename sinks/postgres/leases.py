"""Leases: one request at a time changes a subscription at Stripe, without a lock or transaction open meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

from runtime.errors import ConflictError, Unavailable
from sinks.postgres.access import Access, PostgresAccess
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL: Final = load("leases")
LEASE_S: Final = 90.0
"""What a crash leaves behind lapses after this."""
_USABLE_S: Final = 80.0
"""The holder stops before the lease lapses: two never change the same subscription."""


@asynccontextmanager
async def subscription_lease(
    postgres: PostgresAccess,
    access: Access,
    subscription_id: str,
    actor: str,
    *,
    lease_s: float = LEASE_S,
    usable_s: float = _USABLE_S,
) -> AsyncIterator[None]:
    """Hold a subscription while it is changed at Stripe; `access` is its organization's.

    Raises: ConflictError SUBSCRIPTION_BUSY while another holds it; Unavailable when the time is over.
    """
    holder = f"{actor} {uuid4()}"
    async with postgres.acting(access) as connection:
        with translated_errors():
            values = {"id": subscription_id, "holder": holder, "seconds": lease_s}
            taken = await (await connection.execute(_SQL["take"], values)).fetchone()
    if taken is None:
        raise ConflictError(
            "Another request is changing this subscription: send yours again when that one is answered.",
            code="SUBSCRIPTION_BUSY",
            subscription=subscription_id,
        )
    try:
        async with asyncio.timeout(usable_s):
            yield
    except TimeoutError as exc:
        raise Unavailable("The change took too long; the same request again finds out what became of it.") from exc
    finally:
        async with postgres.acting(access) as connection:
            with translated_errors():
                await connection.execute(_SQL["give_back"], {"id": subscription_id, "holder": holder})
