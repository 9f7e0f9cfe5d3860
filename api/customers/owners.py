"""Whose things a list shows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import AsyncConnection

from api.access.actor import Actor
from sinks.postgres.customers import customers_of_user


async def customers_seen(connection: AsyncConnection, actor: Actor, asked: UUID | None) -> Sequence[str] | None:
    """Return the customers whose things a list is narrowed to; None: all of the organization's.

    Row-level security decides what is seen; this lets an end user's list be found by an index. What was billed to a
    customer stays theirs when the customer is deleted.
    """
    wanted = None if asked is None else [str(asked)]
    if actor.user_id is None or actor.organization_id is not None:
        return wanted
    own = [row.id for row in await customers_of_user(connection, actor.user_id, deleted=True)]
    return own if wanted is None else [each for each in own if each in wanted]
