"""Keys of what a request makes: the same request again, under its Idempotency-Key, makes nothing a second time."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid4, uuid5

from starlette.requests import Request

from api.access.actor import Actor
from api.http.idempotency import HEADER

_IDS: Final = UUID("5b0f9c1e-7a4d-4d53-9c0a-6d1f1a0f7e52")


def stripe_key(request: Request, actor: Actor, what: str) -> str:
    """Return the key of a call to Stripe: of the caller's intent if they named one, else of this request alone."""
    named = request.headers.get(HEADER, "")
    return f"{what}:{_owner(actor)}:{named}" if named else f"{what}:{uuid4()}"


def new_id(request: Request, actor: Actor, what: str) -> str:
    """Return the id of a row that a request makes; a repetition gets the same one."""
    named = request.headers.get(HEADER, "")
    return str(uuid5(_IDS, f"{what}:{_owner(actor)}:{named}") if named else uuid4())


def user_customer_id(organization_id: str, user_id: str, *, deleted: int) -> str:
    """Return the id of a user's customer, so that requests at once make one; after `deleted` others it is a new one."""
    return str(uuid5(_IDS, f"customer:{organization_id}:{deleted}:{user_id}"))


def _owner(actor: Actor) -> str:
    return ":".join((actor.kind, actor.organization_id or "", actor.user_id or ""))
