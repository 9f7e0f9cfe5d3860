"""`PATCH /subscriptions/{id}`: another plan, interval or quantity, now or with the next period; and the history."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.paging import (
    NEWEST_FIRST,
    Cursor,
    Limit,
    Page,
    Sort,
    creation_order,
    decode_sorted_cursor,
    page,
)
from api.http.query_parameters import From, To
from api.http.responses import ExactRoute, json_answer
from api.subscriptions.purchase_lock import begun_alone
from api.subscriptions.subscription_history import ChangeBody, change_as_json, prices_of_change
from api.subscriptions.subscription_models import ChangeSubscription, SubscriptionBody
from api.subscriptions.subscription_targets import (
    PRORATIONS,
    Target,
    has_scheduled_change,
    nothing_to_change,
    read_target,
    require_next_period,
)
from api.subscriptions.subscription_turns import SubscriptionId, Turn, Writing, take_turn
from billing.subscription_changes import ChangeKind
from sinks.postgres.access import Access
from sinks.postgres.customers import find_customer
from sinks.postgres.subscriptions import (
    ChangeFilters,
    SubscriptionRow,
    find_subscription,
    list_changes,
    plans_of_prices,
)

router = APIRouter(prefix=f"{PREFIX}/subscriptions", tags=["subscriptions"], route_class=ExactRoute)


class _After(NamedTuple):
    sort: str
    id: int


@router.patch(
    "/{id}",
    summary="Change plan, interval or quantity",
    response_model=SubscriptionBody,
    responses=errors(400, 404, 409, 413, 422, 429),
)
async def change(
    id: SubscriptionId,
    body: ChangeSubscription,
    asker: Writing,
) -> Response:
    """Change what is subscribed to. A card that is declined leaves everything as it was.

    An immediate change also withdraws one that was to come with the next period; the plan and quantity that there are
    already do only that. A plan of a product that the customer has another subscription of is refused with 409
    ALREADY_SUBSCRIBED; their open checkout pages for it are closed.
    """

    async def check(row: SubscriptionRow) -> Target:
        target = await read_target(asker.stores, asker.actor, row, body)
        if body.timing == "next_billing_cycle":
            require_next_period(row)
        # Also at once: where the change was made and charged, but what was to come not withdrawn, a repetition does it.
        if not target and not has_scheduled_change(row):
            raise nothing_to_change(row)
        return target

    change_it = _change_next if body.timing == "next_billing_cycle" else partial(_change_now, body)

    async def write(turn: Turn, target: Target | None) -> None:
        if target is None or not target.other_product:
            await change_it(turn, target)
            return
        stores, actor, access = asker.stores, asker.actor, Access(organization_id=turn.row.organization_id)
        async with stores.postgres.acting(access) as connection:
            customer = await find_customer(connection, turn.row.customer_id)
        async with begun_alone(stores, actor, customer, target.plan, mark=turn.mark, reason=body.reason):
            await change_it(turn, target)
            await stores.selling.mirror.look(
                "subscription", turn.stripe_id, actor=actor.name, reason=body.reason, access=access
            )

    return await take_turn(asker, id, "change", check=check, write=write, reason=body.reason)


@router.get("/{id}/changes", summary="Show the history", response_model=Page[ChangeBody], responses=errors(400, 404))
async def history(
    id: SubscriptionId,
    actor: Annotated[Actor, allowed("subscriptions:read")],
    stores: OpenStores,
    *,
    kind: Annotated[
        list[ChangeKind] | None, Query(description="Any of these.", examples=[["plan_changed", "canceled"]])
    ] = None,
    since: From = None,
    until: To = None,
    sort: Sort = NEWEST_FIRST,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Tell what changed, from what to what, by whom, when and why.

    `sort`, `from` and `to` go by `recorded_at`.
    """
    after = decode_sorted_cursor(cursor, _After, sort)
    async with stores.postgres.acting(actor.access) as connection:
        owner = await find_subscription(connection, str(id))
        rows = await list_changes(
            connection,
            str(id),
            ChangeFilters(kinds=kind, since=since, until=until),
            order=creation_order(sort),
            after=after.id if after else None,
            limit=limit + 1,
        )
        prices = frozenset[str]().union(*map(prices_of_change, rows))
        plans = await plans_of_prices(connection, list(prices), organization_id=owner.organization_id)
    show = partial(change_as_json, plans=plans)
    return json_answer(page(rows, limit, show=show, place=lambda row: _After(sort, row.id)))


async def _change_now(body: ChangeSubscription, turn: Turn, target: Target | None) -> None:
    if not target:
        await turn.update()
    elif not target.changes:
        await turn.update(metadata=target.metadata)
    else:
        params: dict[str, Any] = {
            "metadata": target.metadata,
            "items": target.changes,
            "proration_behavior": PRORATIONS[body.proration],
            "payment_behavior": "error_if_incomplete",
        }
        if target.restarts:
            params["billing_cycle_anchor"] = {"type": "now"}
        if body.proration_at is not None:
            params["proration_date"] = int(body.proration_at.timestamp())
        await turn.update(**params)
    # After it: a card that is declined leaves also this as it was.
    await turn.release_schedule()


async def _change_next(turn: Turn, target: Target | None) -> None:
    if not target:
        # A mark first: with the schedule gone, a repetition would find nothing to change.
        await turn.update()
        await turn.release_schedule()
        return
    stripe = turn.asker.stores.selling.stripe
    schedules, schedule = stripe.subscription_schedules, turn.row.schedule
    if not isinstance(schedule, dict) or schedule["status"] != "active":
        # Without the next step it changes nothing, and ends with the period.
        schedule = await schedules.create_from(turn.key("schedule"), turn.row.stripe_subscription_id)
    present = await stripe.subscriptions.get(turn.row.stripe_subscription_id)
    await schedules.set_next(
        turn.key(f"next:{schedule['id']}"), schedule, present, target.items, target.cycle, metadata=target.metadata
    )
