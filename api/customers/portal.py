"""`/portal`: a link to Stripe's pages where a customer sees invoices, and changes cards and plans."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.customers.customer_lookup import named_customer, stripe_customer_of
from api.http.documentation import PREFIX, errors
from api.http.request_body import SentBody, WebAddress, require_return_addresses
from api.http.responses import ExactRoute, json_answer
from api.stripe.request_keys import stripe_key
from sinks.postgres.access import Access
from sinks.postgres.audit import record

router = APIRouter(prefix=f"{PREFIX}/portal", tags=["checkout"], route_class=ExactRoute)


class OpenPortal(SentBody):
    """Who is sent there, and where they come back to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"return_url": "https://app.example.com/billing"}}
    )

    return_url: WebAddress
    customer_id: UUID | None = Field(default=None, description="Only end users who are one customer may leave it out.")


class PortalBody(BaseModel):
    """Where to send the customer."""

    url: str = Field(
        description="Signs its visitor in as the customer, for a short while: hand it to nobody else.",
        examples=["https://billing.stripe.com/p/session/…"],
    )


@router.post(
    "",
    status_code=201,
    summary="Open the customer portal",
    response_model=PortalBody,
    responses=errors(400, 404, 409, 413),
)
async def open_portal(
    request: Request,
    body: OpenPortal,
    actor: Annotated[Actor, allowed("portal:write")],
    stores: OpenStores,
) -> Response:
    """Make a link to Stripe's portal."""
    require_return_addresses(request.app.state.settings.api.return_origins, return_url=body.return_url)
    customer = await named_customer(stores, actor, None if body.customer_id is None else str(body.customer_id))
    stripe_customer = await stripe_customer_of(stores, actor, customer)
    session = await stores.selling.stripe.portal.create_session(
        stripe_key(request, actor, "portal"), customer=stripe_customer, return_url=body.return_url
    )
    async with stores.postgres.acting(Access(organization_id=customer.organization_id)) as connection:
        await record(
            connection,
            organization_id=customer.organization_id,
            author=actor.author,
            action="portal.open",
            target=("customer", customer.id),
        )
    return json_answer({"url": session["url"]}, status=201)
