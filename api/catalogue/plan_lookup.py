"""What is asked to be bought, as Stripe's prices: a plan by slug or version, checked to be for sale."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import AsyncConnection

from api.catalogue.plans import as_uuid, plan_archived
from billing.offers import Bought
from runtime.errors import InvalidStateTransition, NotFoundError
from sinks.postgres.plans import PlanRow, find_plan
from sinks.stripe.item_changes import WantedItem


async def find_named_plan(connection: AsyncConnection, name: str, *, organization_id: str) -> PlanRow:
    """Return an organization's plan by slug or a version's id, sold or not. Raises: NotFoundError."""
    row = await find_plan(connection, id=as_uuid(name), slug=name, organization_id=organization_id)
    if row.organization_id != organization_id:  # others' plans are public, but not for sale here
        raise NotFoundError(f"No plan {name!r}.", code="PLAN_NOT_FOUND")
    return row


def require_sold(row: PlanRow) -> None:
    """Refuse a plan that is not for sale. Raises: InvalidStateTransition PLAN_ARCHIVED or PLAN_NOT_ACTIVE."""
    if row.state == "archived":
        raise plan_archived(row)
    if row.state == "draft":
        raise InvalidStateTransition(
            f"The plan {row.slug} is a draft: sell it first with POST /plans/{row.slug}/activate.",
            code="PLAN_NOT_ACTIVE",
            plan=row.slug,
        )


def wanted_items(plan: PlanRow, bought: Iterable[Bought]) -> list[WantedItem]:
    """Return what is bought by its prices at Stripe."""
    return [WantedItem(plan.stripe_prices[each.price.slug], each.quantity) for each in bought]
