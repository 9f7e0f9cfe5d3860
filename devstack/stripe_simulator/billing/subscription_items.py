"""Items of a subscription: what is asked for, read and checked; and the objects.
docs.stripe.com/api/subscription_items

Items live in their subscription; a private pointer finds the subscription of an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devstack.stripe_simulator.billing.lines import is_metered
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

_POINTER = "_subscription_item"
_MOST = 20
# As in every list that an object holds.
_EMBEDDED = 10


@dataclass(frozen=True)
class ItemChange:
    """One entry of `items`: a new item (no id), a change of one, or its removal."""

    id: str | None = None
    price: str | None = None
    quantity: int | None = None
    deleted: bool = False
    metadata: dict[str, str] | None = None


def read(sent: Parameters, name: str = "items") -> list[ItemChange]:
    """Return the entries of `items`."""
    return [read_one(entry) for entry in sent.items(name) or []]


def read_one(entry: Parameters) -> ItemChange:
    """Return one entry."""
    entry.boolean("clear_usage")
    return ItemChange(
        id=entry.text("id") or None,
        price=entry.text("price") or None,
        quantity=entry.integer("quantity", least=0),
        deleted=entry.boolean("deleted") or False,
        metadata=entry.metadata() if entry.given("metadata") else None,
    )


def changed(world: World, subscription: Obj, changes: Sequence[ItemChange]) -> list[Obj]:
    """Return the items after the changes; periods are still those from before, missing where an item is new.

    Raises: StripeFailure.
    """
    items = {item["id"]: item for item in held(subscription)}
    for place, change in enumerate(changes):
        path = f"items[{place}]"
        if change.id is not None and change.id not in items:
            raise invalid_parameter(f"{path}[id]", f"No such subscription item: '{change.id}'", "resource_missing")
        if change.deleted:
            items.pop(change.id or "", None)
            continue
        item = _applied(world, subscription, items.get(change.id or ""), change, path)
        items[item["id"]] = item
    _check(list(items.values()))
    return list(items.values())


def held(subscription: Obj) -> list[Obj]:
    """Return all items of a subscription; it shows the first only."""
    found: list[Obj] = subscription["_items"]
    return found


def listed(subscription: str, items: Sequence[Obj]) -> Obj:
    """Return the fields of a subscription that hold its items."""
    shown = {
        "object": "list",
        "data": list(items[:_EMBEDDED]),
        "has_more": len(items) > _EMBEDDED,
        "url": f"/v1/subscription_items?subscription={subscription}",
    }
    return {"items": shown, "_items": list(items)}


def remember(world: World, subscription: Obj) -> None:
    """Keep the pointers to a subscription's items up to date."""
    items = {item["id"] for item in held(subscription)}
    known = {pointer["id"]: pointer for pointer in world.find(_POINTER, subscription=subscription["id"])}
    for identifier in sorted(items - known.keys()):
        world.insert({"id": identifier, "object": _POINTER, "subscription": subscription["id"]})
    for identifier in known.keys() - items:
        world.delete(known[identifier])


def find(world: World, identifier: str, param: str = "id") -> tuple[Obj, Obj]:
    """Return the subscription of an item, and the item. Raises: StripeFailure resource_missing."""
    pointer = world.known(_POINTER, identifier)
    if pointer is None:
        status = 404 if param == "id" else 400
        message = f"No such subscription_item: '{identifier}'"
        raise StripeFailure(message, status=status, code="resource_missing", param=param)
    subscription = world.get("subscription", pointer["subscription"])
    return subscription, next(item for item in held(subscription) if item["id"] == identifier)


def _applied(world: World, subscription: Obj, item: Obj | None, change: ItemChange, path: str) -> Obj:
    if change.price is None and item is None:
        raise missing_parameter(f"{path}[price]")
    price = _price(world, subscription, change.price, path) if change.price else (item or {})["price"]
    base = item or {
        "id": world.new_id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.now(subscription),
        "discounts": [],
        "metadata": {},
        "subscription": subscription["id"],
        "tax_rates": [],
    }
    changed_item = base | {"price": price, "metadata": change.metadata or base["metadata"]}
    if price["recurring"]["usage_type"] == "metered":
        if change.quantity is not None:
            message = "You cannot set the quantity for metered plans."
            raise invalid_parameter(f"{path}[quantity]", message)
        changed_item.pop("quantity", None)
    elif change.quantity is not None:
        changed_item["quantity"] = change.quantity
    elif change.price is not None:
        # "Updating a subscription price automatically reverts the quantity to the default value of 1."
        changed_item["quantity"] = 1
    return changed_item


def _price(world: World, subscription: Obj, identifier: str, path: str) -> Obj:
    price, param = world.get("price", identifier, f"{path}[price]"), f"{path}[price]"
    if price["recurring"] is None:
        message = "The price specified is set to `type=one_time` but this field only accepts prices with "
        raise invalid_parameter(param, message + "`type=recurring`.")
    if not price["active"]:
        raise invalid_parameter(param, "The price specified is inactive. This field only accepts active prices.")
    if subscription["currency"] not in price["_currency_options"]:
        message = f"The price specified only supports `{price['currency']}`. This doesn't match the expected currency: "
        raise invalid_parameter(param, f"{message}`{subscription['currency']}`.")
    return price


def _check(items: Sequence[Obj]) -> None:
    if not items:
        message = "A subscription must have at least one active plan. Please add another plan before deleting this one."
        raise invalid_parameter("items", message)
    if len(items) > _MOST:
        raise invalid_parameter("items", f"Subscriptions can have up to {_MOST} items.")
    prices = [item["price"]["id"] for item in items]
    twice = next((price for price in prices if prices.count(price) > 1), None)
    if twice is not None and any(is_metered(item) for item in items if item["price"]["id"] == twice):
        message = f"Cannot add multiple subscription items with the same plan: {twice}"
        raise invalid_parameter("items", message)
