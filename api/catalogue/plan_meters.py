"""The check that what prices are billed by is counted, in the way that they say."""

from __future__ import annotations

from api.access.actor import Actor
from api.stores import Stores
from billing.plans import Plan
from billing.prices import MeteredBy
from runtime.errors import BusinessLogicError, NotFoundError
from sinks.postgres.meters import MeterRow, find_meter


async def require_meters(stores: Stores, actor: Actor, plan: Plan) -> None:
    """Raise BusinessLogicError, whose `problems` are all of them, unless every meter counts and counts so."""
    metered = [(number, price.metered) for number, price in enumerate(plan.prices) if price.metered]
    if not metered:
        return
    meters: dict[str, MeterRow | None] = {}
    async with stores.postgres.acting(actor.access) as connection:
        for slug in {by.meter for _, by in metered}:
            try:
                meters[slug] = await find_meter(connection, organization_id=actor.tenant.organization_id, slug=slug)
            except NotFoundError:
                meters[slug] = None
    problems = [
        {"field": f"prices[{number}].meter", "message": wrong}
        for number, by in metered
        if (wrong := _wrong_with(meters[by.meter], by))
    ]
    if problems:
        message = "\n".join(f"{problem['field']}: {problem['message']}" for problem in problems)
        raise BusinessLogicError(message, code="PRICE_METER_UNFIT", field=problems[0]["field"], problems=problems)


def _wrong_with(meter: MeterRow | None, by: MeteredBy) -> str | None:
    if meter is None:
        return (
            f"there is no meter {by.meter!r}; create it first (POST /api/v1/meters), or name one of GET /api/v1/meters"
        )
    if meter.archived_at is not None:
        return f"the meter {by.meter!r} is archived and counts nothing any more; name one of GET /api/v1/meters"
    if meter.aggregation != by.aggregation:
        return f"the meter {by.meter!r} counts by {meter.aggregation}, not {by.aggregation}; say {meter.aggregation}"
    return None
