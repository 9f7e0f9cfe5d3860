"""`/webhooks/stripe`: where Stripe sends its events, and where operators see what could not be applied."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed, stores_of
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Page, decode_cursor, page
from api.http.responses import RawRoute, json_answer
from runtime.errors import InvalidInput, InvalidToken, RefusedToStart, SchemaValidation, Unavailable
from runtime.logging import get_logger
from runtime.settings import StripeSettings
from sinks.postgres import inbox
from sinks.postgres.inbox import InboxRow, Place
from sinks.stripe.client import is_live
from sinks.stripe.webhooks import WebhookEvent, verify
from sinks.stripe_events import inbox_event

log = get_logger(__name__)
router = APIRouter(prefix=f"{PREFIX}/webhooks/stripe", tags=["webhooks"])

_EVENT: Final = {
    "requestBody": {
        "required": True,
        "description": "An event of Stripe's, snapshot or thin, byte for byte as it was signed; at most 1 MB.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {"id": "evt_1NG8Du2eZvKYlo2CUI79vXWy", "object": "event", "type": "invoice.paid"},
            }
        },
    },
    "parameters": [
        {
            "name": "Stripe-Signature",
            "in": "header",
            "required": True,
            "description": "`t=<seconds>,v1=<HMAC-SHA256>`, at most five minutes old.",
            "schema": {"type": "string"},
        }
    ],
}
EventId = Annotated[str, Path(max_length=255, description="Stripe's id.", examples=["evt_1Nv0FG"])]


class Received(BaseModel):
    """The event is stored; what it tells is applied in a moment."""

    received: Literal[True] = True


class StripeEventBody(BaseModel):
    """An event of Stripe's and what became of it."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "id": "evt_1Nv0FGQ9RKHgCVdK", "type": "invoice.paid", "created_at": "2026-11-23T12:00:00Z", "livemode": False,
        "object_id": "in_1MtHbELkdIwHu7ix", "stripe_customer_id": "cus_NffrFeUfNV2Hib", "state": "parked", "tries": 8,
        "error": "StripeAPIError: …", "received_at": "2026-11-23T12:00:01Z", "applied_at": None,
    }})  # fmt: skip

    id: str
    type: str
    created_at: datetime = Field(description="When Stripe made it, in whole seconds.")
    livemode: bool
    object_id: str | None = Field(description="What it is about.")
    stripe_customer_id: str | None
    state: Literal["received", "applied", "ignored", "parked"] = Field(
        description="Ignored: of no customer of ours, or of a type that nothing here follows. Parked: failed too often."
    )
    tries: int = Field(description="How often it failed.")
    error: str | None
    received_at: datetime
    applied_at: datetime | None


async def receive(request: Request) -> Response:
    """Check the signature, store the event, answer. No credential: the signature is it.

    An event may come several times, late and in any order. 400 for what is not signed by Stripe for this endpoint and
    mode; nothing of it is stored.
    """
    settings: StripeSettings = request.app.state.settings.stripe
    stores = await stores_of(request)
    raw = await request.body()
    event = _verified(raw, request.headers.get("stripe-signature"), settings, stores.clock())
    _check_sender(event, settings)
    await stores.stripe_inbox.put(inbox_event(event, raw))
    return json_answer({"received": True})


# Stripe's events come by the thousand: FastAPI's own steps would be a third of their cost.
router.add_api_route(
    "",
    receive,
    methods=["POST"],
    summary="Take an event of Stripe's",
    response_model=Received,
    openapi_extra=_EVENT,
    responses=errors(400, 413, 429),
    route_class_override=RawRoute,
)


@router.get("/events", summary="List events of Stripe's", response_model=Page[StripeEventBody], responses=errors(400))
async def list_events(
    actor: Annotated[Actor, allowed("operators:read")],
    stores: OpenStores,
    status: Annotated[
        Literal["received", "applied", "ignored", "parked"], Query(description="What became of them.")
    ] = "parked",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events, the newest first; parked ones unless another status is asked for (operators only)."""
    after = decode_cursor(cursor, Place)
    async with stores.postgres.acting(actor.access) as connection:
        rows = await inbox.list_events(connection, state=status, after=after, limit=limit + 1)
    return json_answer(page(rows, limit, show=_show, place=lambda row: (row.received_at, row.event_id)))


@router.post(
    "/events/{event_id}/retry",
    summary="Apply a parked event again",
    response_model=StripeEventBody,
    responses=errors(400, 404, 409),
)
async def retry(event_id: EventId, actor: Annotated[Actor, allowed("operators:write")], stores: OpenStores) -> Response:
    """Have a parked event applied again, in a moment (operators only)."""
    if "\x00" in event_id:
        raise InvalidInput("event_id: no id of Stripe's holds NUL", field="event_id")
    async with stores.postgres.acting(actor.access) as connection:
        row = await inbox.retry(connection, event_id)
    # No audit log has it: whose an event is, only the worker finds out.
    log.info("a parked event is applied again", event_id=event_id, actor=actor.name, address=actor.address)
    return json_answer(_show(row))


def _verified(raw: bytes, header: str | None, settings: StripeSettings, now: datetime) -> WebhookEvent:
    """Return the event that was signed for us. Raises: InvalidInput, PayloadTooLarge, Unavailable (not set up)."""
    try:
        return verify(raw, header, settings.webhook_secrets, now)
    except InvalidToken as exc:
        raise InvalidInput(exc.message, code=exc.code, **exc.details) from exc
    except RefusedToStart as exc:
        raise Unavailable(exc.message, code="STRIPE_NOT_CONFIGURED") from exc


def _check_sender(event: WebhookEvent, settings: StripeSettings) -> None:
    """Refuse what another account or the other mode sends with a secret of ours."""
    if event.livemode != is_live(settings):
        modes = ("live", "test") if event.livemode else ("test", "live")
        raise InvalidInput(
            f"The event is of {modes[0]} mode and METERSTREAM_STRIPE__API_KEY of {modes[1]} mode: send it to the"
            " service of its own mode.",
            code="WEBHOOK_WRONG_MODE",
        )
    account = event.body.get("account") or event.body.get("context")
    if account:
        raise InvalidInput(
            f"The event is of another account ({str(account)[:100]}): listen to events of your own account only.",
            code="WEBHOOK_WRONG_ACCOUNT",
        )
    texts = (event.id, event.type)
    if not all(0 < len(text) <= 255 and "\x00" not in text for text in texts):
        raise SchemaValidation("id and type of an event must have 1 to 255 characters.", field="id")


def _show(row: InboxRow) -> dict[str, Any]:
    return {
        "id": row.event_id,
        "type": row.type,
        "created_at": row.created_at,
        "livemode": row.livemode,
        "object_id": row.object_id,
        "stripe_customer_id": row.stripe_customer_id,
        "state": row.state,
        "tries": row.tries,
        "error": row.error,
        "received_at": row.received_at,
        "applied_at": row.applied_at,
    }
