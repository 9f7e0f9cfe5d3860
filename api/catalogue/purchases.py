"""What a request wants to buy: a plan's prices of one interval in one currency, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from api.access.actor import Actor
from api.access.memberships import require_own
from api.catalogue.plan_lookup import find_named_plan, require_sold
from api.catalogue.plans import as_uuid, organization_asked_for
from api.stores import Stores
from billing.offers import Bought, bought_prices
from billing.periods import Cycle, Interval
from billing.plans import Plan
from runtime.errors import InvalidInput, NotFoundError
from sinks.postgres.access import Access
from sinks.postgres.plans import PlanRow, find_plan


class Wanted(Protocol):
    """What bodies of purchases say; defaults are the plan's."""

    plan: str
    organization: str | None
    interval: Interval | None
    interval_count: int
    currency: str | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is bought."""

    row: PlanRow
    plan: Plan
    bought: Sequence[Bought]
    cycle: Cycle
    currency: str

    @property
    def product(self) -> str:
        """Return Stripe's product of the plan, of which a customer has one subscription."""
        return str(self.row.stripe_product_id)


async def read_purchase(
    request: Request, stores: Stores, actor: Actor, wanted: Wanted, *, currency: str | None = None
) -> Purchase:
    """Return what a request wants to buy; `currency` is the customer's, for where it names none.

    Raises: NotFoundError PLAN_NOT_FOUND; InvalidStateTransition PLAN_ARCHIVED, PLAN_NOT_ACTIVE; BusinessLogicError
    QUANTITY_OUT_OF_RANGE, QUANTITY_NOT_OFFERED, INTERVAL_NOT_OFFERED, CURRENCY_NOT_OFFERED; InvalidInput.
    """
    row = await _sold_plan(request, stores, actor, wanted)
    plan = row.plan()
    cycle = _cycle(plan, wanted)
    offered = [code for price in plan.prices if price.cycle == cycle for code in price.currencies]
    chosen = wanted.currency or (currency if currency in offered else None) or (offered or plan.prices[0].currencies)[0]
    return Purchase(row, plan, bought_prices(plan, cycle, chosen, wanted.quantity), cycle, chosen)


async def _sold_plan(request: Request, stores: Stores, actor: Actor, wanted: Wanted) -> PlanRow:
    require_own(actor, wanted.organization)
    organization_id = actor.organization_id
    if organization_id is None:
        organization_id = await _seller(request, stores, wanted)
    # What is archived is told from what never was; an end user may know both.
    async with stores.postgres.acting(Access(organization_id=organization_id)) as connection:
        row = await find_named_plan(connection, wanted.plan, organization_id=organization_id)
    if actor.organization_id is None and row.state == "draft":
        raise NotFoundError(f"No plan {wanted.plan!r}.", code="PLAN_NOT_FOUND")
    require_sold(row)
    return row


async def _seller(request: Request, stores: Stores, wanted: Wanted) -> str:
    """Return whose plan an end user means: a version's id says it, a slug needs the organization's."""
    version = as_uuid(wanted.plan)
    if version is None:
        return await organization_asked_for(request, stores, None, wanted.organization)
    async with stores.postgres.acting(Access()) as connection:
        return (await find_plan(connection, id=version)).organization_id


def _cycle(plan: Plan, wanted: Wanted) -> Cycle:
    if wanted.interval is not None:
        return Cycle(wanted.interval, wanted.interval_count)
    cycles = list(dict.fromkeys(price.cycle for price in plan.prices))
    if len(cycles) > 1:
        offered = " or ".join(map(str, cycles))
        raise InvalidInput(f"interval: is missing; the plan {plan.slug} is sold by the {offered}", field="interval")
    return cycles[0]
