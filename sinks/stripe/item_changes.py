"""What makes a subscription's items those that are wanted, as Stripe's updates and previews take it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stripe.params import SubscriptionUpdateParamsItem

ItemChange: TypeAlias = SubscriptionUpdateParamsItem


@dataclass(frozen=True, slots=True)
class HeldItem:
    """An item of a subscription."""

    id: str
    price: str
    quantity: int | None
    licensed: bool


@dataclass(frozen=True, slots=True)
class WantedItem:
    """A price, and how many of it; None: it is metered."""

    price: str
    quantity: int | None


def item_changes(held: Sequence[HeldItem], wanted: Sequence[WantedItem]) -> list[ItemChange]:
    """Return the changes, none for what stays. An item that goes lends its id to one of its kind that comes."""
    going = {item.price: item for item in held}
    coming: list[WantedItem] = []
    changes: list[ItemChange] = []
    for want in wanted:
        kept = going.pop(want.price, None)
        if kept is None:
            coming.append(want)
        elif want.quantity is not None and kept.quantity != want.quantity:
            changes.append({"id": kept.id, "quantity": want.quantity})
    free = {licensed: [item for item in going.values() if item.licensed == licensed] for licensed in (True, False)}
    for want in coming:
        params: ItemChange = {"price": want.price}
        if want.quantity is not None:
            params["quantity"] = want.quantity
        if lenders := free[want.quantity is not None]:
            params["id"] = lenders.pop(0).id
        changes.append(params)
    gone: list[ItemChange] = [{"id": item.id, "deleted": True} for item in (*free[True], *free[False])]
    return changes + gone
