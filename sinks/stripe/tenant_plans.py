"""Publishes one plan of one organization: many of them may share an account at Stripe.

Other terms are published beside those in force; only when ours say that they are sold, the old ones are retired. So at
every moment the plan that Postgres sells can be bought.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import uuid4

from billing.plans import Plan
from sinks.stripe.client import StripeGateway
from sinks.stripe.plan_changes import Action, Change, Thing, plan_changes, price_name, product_id
from sinks.stripe.publishing import make_changes, read_held


@dataclass(frozen=True, slots=True)
class PublishedPlan:
    """Stripe's ids."""

    product: str
    prices: dict[str, str]
    """By the slugs of the plan's prices."""
    stale: tuple[str, ...]
    """The plan's other prices that Stripe still sells."""


async def publish_version(
    gateway: StripeGateway, plan: Plan, *, organization_id: str, organization: str
) -> PublishedPlan:
    """Publish a version beside the one before it. May be repeated after any failure."""
    named = tenant_plan(plan, organization_id=organization_id, organization=organization)
    product = product_id(named.product_slug)
    held = await read_held(gateway, products=[product])
    changes = [change for change in plan_changes([named], held) if _is_due(change, named)]
    report = await make_changes(gateway, [named], held, changes)
    prices = {price.slug: report.prices[price_name(named, price)] for price in named.prices}
    own = [each for each in held.prices if each.active and each.name.startswith(f"{named.slug}:")]
    return PublishedPlan(product, prices, tuple(each.id for each in own if each.id not in prices.values()))


async def retire_prices(gateway: StripeGateway, prices: Iterable[str]) -> None:
    """Sell these no more; subscriptions keep them. May be repeated."""
    for price in prices:
        await gateway.prices.archive(f"retire:{uuid4()}", price)


def tenant_plan(plan: Plan, *, organization_id: str, organization: str) -> Plan:
    """Return a plan under names that no other organization's plan can have."""
    return replace(
        plan,
        slug=_name(organization_id, organization, plan.slug),
        product=_name(organization_id, organization, plan.product) if plan.product else "",
    )


def _name(organization_id: str, organization: str, slug: str) -> str:
    """Join both, cut to what a slug may have; the digest tells `a-b` and `c` from `a` and `b-c`."""
    digest = hashlib.sha256(f"{organization_id}:{slug}".encode()).hexdigest()[:10]
    return f"{organization[:20]}-{slug[:30]}-{digest}"


def _is_due(change: Change, plan: Plan) -> bool:
    if change.action is Action.ARCHIVE:
        return False
    # A product that plans share is named by the first of them.
    return not (change.thing is Thing.PRODUCT and change.action is Action.UPDATE and plan.product)
