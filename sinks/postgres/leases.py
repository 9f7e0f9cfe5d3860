"""Leases: one request at a time changes a thing at Stripe, without a lock or transaction open meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias
from uuid import uuid4

from runtime.errors import ConflictError, Unavailable
from sinks.postgres.access import Access, PostgresAccess
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL: Final = load("leases")
LEASE_S: Final = 90.0
"""What a crash leaves behind lapses after this."""
_USABLE_S: Final = 80.0
"""The holder stops before the lease lapses: two never change the same thing."""
_RETRY_AFTER_S: Final = 1

Leased: TypeAlias = Literal["customer", "subscription"]
_BUSY: Final[dict[Leased, str]] = {
    "customer": "Another request is subscribing this customer: send yours again when that one is answered.",
    "subscription": "Another request is changing this subscription: send yours again when that one is answered.",
}


@asynccontextmanager
async def lease(
    postgres: PostgresAccess,
    access: Access,
    kind: Leased,
    id: str,
    actor: str,
    *,
    reason: str | None = None,
    lease_s: float = LEASE_S,
    usable_s: float = _USABLE_S,
) -> AsyncIterator[None]:
    """Hold a subscription while it is changed at Stripe, or a customer while they are subscribed to something.

    `access` is their organization's; `actor` and `reason` are for the history. Raises: ConflictError CUSTOMER_BUSY or
    SUBSCRIPTION_BUSY while another holds it; Unavailable when the time is over.
    """
    holder = f"{actor} {uuid4()}"
    async with postgres.acting(access) as connection:
        with translated_errors():
            values = {"id": id, "holder": holder, "reason": reason, "seconds": lease_s}
            taken = await (await connection.execute(_SQL[f"take_{kind}"], values)).fetchone()
    if taken is None:
        # With a Retry-After no Idempotency-Key keeps this answer.
        details = {kind: id, "retry_after_s": _RETRY_AFTER_S}
        raise ConflictError(_BUSY[kind], code=f"{kind.upper()}_BUSY", **details)
    try:
        async with asyncio.timeout(usable_s):
            yield
    except TimeoutError as exc:
        raise Unavailable("The change took too long; the same request again finds out what became of it.") from exc
    finally:
        async with postgres.acting(access) as connection:
            with translated_errors():
                await connection.execute(_SQL[f"give_back_{kind}"], {"id": id, "holder": holder})


def actor_of(holder: str) -> str:
    """Return who asked for a lease that a row names the holder of."""
    return holder.rpartition(" ")[0]
