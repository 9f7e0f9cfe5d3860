"""What a change of plan, interval or quantity makes of a subscription; PATCH and preview read it in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.access.actor import Actor
from api.catalogue.plan_lookup import find_named_plan, require_sold, wanted_items
from api.stores import Stores
from api.subscriptions.subscription_models import ChangeSubscription, scheduled_phase
from api.subscriptions.subscription_turns import require_action, require_seller
from billing.offers import bought_prices, default_cycle, kept_quantity
from billing.periods import Cycle
from billing.stripe_objects import PLAN_KEY
from billing.subscriptions import Action, Status
from runtime.errors import BusinessLogicError, InvalidInput, InvalidStateTransition
from sinks.postgres.plans import PlanRow, find_plan
from sinks.postgres.subscriptions import ItemRow, SubscriptionRow, list_items
from sinks.stripe.item_changes import HeldItem, ItemChange, WantedItem, item_changes
from sinks.stripe.subscriptions import Proration

_PREVIEW_LASTS: Final = timedelta(hours=1)
PRORATIONS: Final[dict[str, Proration]] = {
    "prorate": "create_prorations",
    "none": "none",
    "invoice_now": "always_invoice",
}
"""How Stripe calls ours."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a subscription shall hold."""

    items: list[WantedItem]
    """All of them."""
    changes: list[ItemChange]
    """What differs from now."""
    cycle: Cycle
    plan: PlanRow
    other_version: bool
    """Another plan, or version of it, than the present one, be it at the same prices."""
    other_product: bool
    """Another product than the present plan's."""
    restarts: bool
    """Another interval: the period begins anew, but for a trial, which goes on."""

    def __bool__(self) -> bool:
        """Say whether anything differs from now."""
        return bool(self.changes) or self.other_version

    @property
    def metadata(self) -> dict[str, str]:
        """Return what Stripe is to remember of it: prices alone do not tell the plan's version."""
        return {PLAN_KEY: self.plan.id}


async def read_target(stores: Stores, actor: Actor, row: SubscriptionRow, body: ChangeSubscription) -> Target:
    """Return what a change asks for. Raises: InvalidStateTransition, BusinessLogicError, InvalidInput."""
    require_action(row, Action.CHANGE)
    if body.plan is None and body.quantity is None and body.interval is None:
        raise InvalidInput("Send plan, interval or quantity, or several of them.", field="plan")
    if actor.kind == "user" and body.proration == "none":
        require_seller(actor, "let a change go unbilled")
    _check_proration_at(body.proration_at, row, stores.clock())
    async with stores.postgres.acting(actor.access) as connection:
        items = await list_items(connection, row.id)
        held = None if row.plan_id is None else await find_plan(connection, id=row.plan_id)
        plan = held
        if body.plan is not None:
            plan = await find_named_plan(connection, body.plan, organization_id=row.organization_id)
    if plan is None:
        raise BusinessLogicError(
            "This subscription pays for prices that no plan here knows: name the plan it shall have.",
            code="PLAN_UNKNOWN",
            field="plan",
        )
    if plan != held:
        require_sold(plan)
    target = _target(row, body, plan, held, _of_plan(items, held))
    if plan.state != "active":
        await _require_sold_prices(
            stores, actor, plan, {item.price for item in target.items} - {i.price for i in items}
        )
    return target


async def _require_sold_prices(stores: Stores, actor: Actor, plan: PlanRow, prices: set[str]) -> None:
    """Refuse what a retired version would add, unless the version that is sold has the same prices.

    Raises: InvalidStateTransition PLAN_ARCHIVED.
    """
    if not prices:
        return
    async with stores.postgres.acting(actor.access) as connection:
        sold = await find_plan(connection, slug=plan.slug, organization_id=plan.organization_id)
    if sold.state != "active" or not prices <= set(sold.stripe_prices.values()):
        require_sold(plan)


def nothing_to_change(row: SubscriptionRow) -> BusinessLogicError:
    """Return what is said of a change to what is there."""
    return BusinessLogicError(
        f"The subscription has this plan, interval and quantity already ({row.plan_slug}, {row.quantity}).",
        code="NOTHING_TO_CHANGE",
    )


def require_next_period(row: SubscriptionRow) -> None:
    """Refuse a change of what will not be. Raises: InvalidStateTransition SUBSCRIPTION_ENDS."""
    if row.cancel_at is not None:
        raise InvalidStateTransition(
            f"The subscription ends at {row.cancel_at:%Y-%m-%d %H:%M} UTC, and has no period after that: reactivate it"
            " first.",
            code="SUBSCRIPTION_ENDS",
            cancel_at=row.cancel_at.isoformat(),
        )


def has_scheduled_change(row: SubscriptionRow) -> bool:
    """Say whether something is to come with the next period."""
    return scheduled_phase(row) is not None


def _target(
    row: SubscriptionRow,
    body: ChangeSubscription,
    plan: PlanRow,
    present_plan: PlanRow | None,
    items: Sequence[ItemRow],
) -> Target:
    terms = plan.plan()
    present = items[0].cycle
    cycle = (
        default_cycle(terms, row.currency, present)
        if body.interval is None
        else Cycle(body.interval, body.interval_count)
    )
    quantity = body.quantity
    if quantity is None:
        quantity = kept_quantity(terms, cycle, row.currency, row.quantity)
    wanted = wanted_items(plan, bought_prices(terms, cycle, row.currency, quantity))
    held = [HeldItem(item.id, item.price, item.quantity, item.licensed) for item in items]
    restarts = cycle != present and row.state is not Status.TRIALING
    if restarts and body.proration_at is not None:
        raise InvalidInput("proration_at: another interval begins a period at once; leave it out", field="proration_at")
    other_product = present_plan is None or present_plan.stripe_product_id != plan.stripe_product_id
    return Target(
        wanted,
        item_changes(held, wanted),
        cycle,
        plan,
        other_version=plan.id != row.plan_id,
        other_product=other_product,
        restarts=restarts,
    )


def _of_plan(items: Sequence[ItemRow], plan: PlanRow | None) -> list[ItemRow]:
    """Return the items that are the plan's; what was added at Stripe beside it stays as it is."""
    prices = set() if plan is None else set(plan.stripe_prices.values())
    return [item for item in items if item.price in prices] or list(items)


def _check_proration_at(at: datetime | None, row: SubscriptionRow, now: datetime) -> None:
    if at is None:
        return
    if abs(now - at) > _PREVIEW_LASTS or at < row.current_period_start:
        raise InvalidInput(
            "proration_at: is not of a preview of the last hour in this period; ask for another preview",
            field="proration_at",
        )
