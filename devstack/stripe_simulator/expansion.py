"""`expand[]`: references replaced by what they refer to, and fields shown that are left out otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from devstack.stripe_simulator import tax_ids
from devstack.stripe_simulator.billing.payment_intents import payments_of
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.pages import whole
from devstack.stripe_simulator.world import World

_DEEPEST = 4
# The kind that a field's id is of; fields named as their kind need no line.
_KINDS = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "configuration": "billing_portal.configuration",
    "coupon": "coupon",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "discounts": "discount",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "latest_revision": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "pending_setup_intent": "setup_intent",
    "price": "price",
    "product": "product",
    "promotion_code": "promotion_code",
    "released_subscription": "subscription",
    "schedule": "subscription_schedule",
    "setup_intent": "setup_intent",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
}


def _subscriptions(world: World, customer: Obj) -> Obj:
    found = [one for one in world.find("subscription", customer=customer["id"]) if one["status"] != "canceled"]
    return whole(f"/v1/customers/{customer['id']}/subscriptions", found)


# Fields that are computed when they are asked for. Private keys need no line: `_tiers` is shown as `tiers`.
_INCLUDED: dict[tuple[str, str], Callable[[World, Obj], Any]] = {
    ("customer", "subscriptions"): _subscriptions,
    ("customer", "tax_ids"): tax_ids.expanded,
    ("invoice", "payments"): payments_of,
}
# Fields that only some objects of a kind have: asking for them on the others changes nothing.
_OF_SOME = frozenset({("price", "tiers"), ("coupon", "applies_to"), ("coupon", "currency_options")})


def expand(world: World, answer: Obj, paths: Iterable[str]) -> Obj:
    """Return the answer with the paths expanded. Raises: StripeFailure for those that can not be."""
    for path in paths:
        parts = path.split(".")
        # "data" of a list is no level: `data.a.b.c.d` is the deepest, too.
        if len(parts) - parts.count("data") > _DEEPEST:
            message = f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path[:100]}"
            raise StripeFailure(message, param="expand")
        answer = _expand(world, answer, parts, path)
    return answer


def _expand(world: World, node: Any, parts: list[str], path: str) -> Any:
    if isinstance(node, list):
        return [_expand(world, item, parts, path) for item in node]
    if not isinstance(node, dict) or node.get("deleted") is True:
        return node
    name, rest = parts[0], parts[1:]
    if (node.get("object"), name) in _OF_SOME and f"_{name}" not in node:
        return node
    value = _shown(world, node, name, path)
    if isinstance(value, list) and name in _KINDS:
        value = [_referred(world, name, item, path) for item in value]
    else:
        value = _referred(world, name, value, path)
    return {**node, name: _expand(world, value, rest, path) if rest else value}


def _shown(world: World, node: Obj, name: str, path: str) -> Any:
    """Return a field, be it one that is left out otherwise."""
    if name in node:
        return node[name]
    if f"_{name}" in node:
        return node[f"_{name}"]
    compute = _INCLUDED.get((str(node.get("object")), name))
    if compute is None:
        raise _not_expandable(path)
    return compute(world, node)


def _referred(world: World, name: str, value: Any, path: str) -> Any:
    """Return what an id in the field `name` stands for."""
    if not isinstance(value, str):
        return value
    if name not in _KINDS:
        raise _not_expandable(path)
    kind = _KINDS[name]
    if world.is_deleted(kind, value):
        return {"id": value, "object": kind, "deleted": True}
    return world.known(kind, value) or value


def _not_expandable(path: str) -> StripeFailure:
    message = (
        f"This property cannot be expanded ({path[:100]}). You may want to try expanding 'data.{path[:100]}', if the "
        "answer is a list."
    )
    return StripeFailure(message, param="expand")
