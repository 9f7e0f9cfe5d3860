"""Whether a purchase begins with a trial: the plan's is given once, whichever way a product is bought."""

from __future__ import annotations

from api.access.actor import Actor
from api.catalogue.purchases import Purchase
from api.stores import Stores
from runtime.errors import BusinessLogicError
from sinks.postgres.access import Access
from sinks.postgres.customers import CustomerRow
from sinks.postgres.subscriptions import had_product


async def trial_of(
    stores: Stores,
    actor: Actor,
    customer: CustomerRow,
    purchase: Purchase,
    *,
    asked: int | None,
    mark: str | None = None,
) -> int:
    """Return the days of a purchase's trial: the plan's, for who never had the product, or what the seller gives.

    True while `begun_alone` holds the customer; what an earlier try of the request began, which left its `mark`, does
    not count. Raises: BusinessLogicError TRIAL_USED where an end user asks for a second one.
    """
    if asked is not None and actor.kind != "user":
        return asked
    days = purchase.plan.trial_days if asked is None else asked
    if not days:
        return 0
    async with stores.postgres.acting(Access(organization_id=customer.organization_id)) as connection:
        had = await had_product(
            connection, customer_id=customer.id, stripe_product_id=purchase.product, except_mark=mark
        )
    if had and asked:
        raise BusinessLogicError(
            "A trial is given once, and you have had this product already: leave trial_days out.",
            code="TRIAL_USED",
            field="trial_days",
        )
    return 0 if had else days
