"""Prorations: credits for what was billed and is not used, debits for what is used and was not billed.

docs.stripe.com/billing/subscriptions/prorations: to the second; licensed items only; not discountable, discounts
already in the amount. Flexible billing mode credits "the original amount previously debited": `_billed` of an item is
what was last billed for it, for how long a period. Classic mode credits the item's present price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from devstack.stripe_simulator.billing import discounts, invoice_items, lines
from devstack.stripe_simulator.billing.amounts import amount_of, prorated
from devstack.stripe_simulator.billing.periods import containing
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World


def credit(world: World, subscription: Obj, item: Obj, at: int) -> None:
    """Give back what was billed for an item from `at` on, as a pending invoice item."""
    billed = item.get("_billed")
    if lines.is_metered(item) or billed is None or at >= billed["end"]:
        return
    if subscription["billing_mode"]["type"] == "classic":
        billed = billed | {"amount": _net_amounts(world, subscription, held(subscription))[item["id"]]}
    amount = -prorated(billed["amount"], billed["start"], billed["end"], at)
    words = f"Unused time on {lines.named(world, item)} after {_day(at)}"
    _add(world, subscription, item, amount, words, period=(at, billed["end"]), credited=billed["credited"])


def debit(world: World, subscription: Obj, items: Sequence[Obj], item: Obj, at: int) -> Obj:
    """Bill an item from `at` to its period's end, as a pending invoice item; return the item with what was billed."""
    start, end = containing(subscription["billing_cycle_anchor"], item["price"]["recurring"], at)
    net = _net_amounts(world, subscription, items)[item["id"]]
    words = f"Remaining time on {lines.named(world, item)} after {_day(at)}"
    _add(world, subscription, item, prorated(net, start, end, at), words, period=(at, item["current_period_end"]))
    return item | {"_billed": {"amount": net, "start": start, "end": end, "credited": None}}


def unbilled_usage(world: World, subscription: Obj, item: Obj, until: int) -> None:
    """Bill what a metered item counted so far, as a pending invoice item: the item goes, or its price changes.

    docs.stripe.com/billing/subscriptions/billing-mode/compare, "Bill for unbilled usage".
    """
    line = lines.usage(world, subscription, item, until)
    if line["quantity"] and until > line["period"]["start"]:
        invoice_items.add(
            world,
            subscription["customer"],
            currency=subscription["currency"],
            amount=line["amount"],
            period=(line["period"]["start"], until),
            description=line["description"],
            parent=invoice_items.of_subscription(subscription, item),
            pricing=line["pricing"],
            quantity=line["quantity"],
        )


def billed_by(items: Iterable[Obj], invoice: Obj) -> list[Obj]:
    """Return the items with what an invoice billed for their periods, less discounts."""
    billed: dict[str, Obj] = {}
    for line in invoice["_lines"]:
        details = line["parent"]["subscription_item_details"]
        if details is not None and details["invoice_item"] is None and "_measured" not in line:
            billed[details["subscription_item"]] = {
                "amount": line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"]),
                "start": line["period"]["start"],
                "end": line["period"]["end"],
                "credited": {"invoice": invoice["id"], "invoice_line_items": [line["id"]]},
            }
    return [item | {"_billed": billed[item["id"]]} if item["id"] in billed else item for item in items]


def _net_amounts(world: World, subscription: Obj, items: Sequence[Obj]) -> dict[str, int]:
    """Return what the licensed items cost in a full period, less the subscription's discounts."""
    currency = subscription["currency"]
    owned = [item for item in items if not lines.is_metered(item)]
    prices = [world.get("price", item["price"]["id"]) for item in owned]
    whole = [
        {
            "amount": amount_of(price, currency, item["quantity"]),
            "discountable": True,
            "pricing": lines.pricing(price, currency),
        }
        for item, price in zip(owned, prices, strict=True)
    ]
    active = discounts.active(world, subscription["discounts"], world.now(subscription))
    shares = discounts.shares(world, currency, whole, active)
    return {
        item["id"]: line["amount"] - sum(entry["amount"] for entry in share)
        for item, line, share in zip(owned, whole, shares, strict=True)
    }


def _add(
    world: World,
    subscription: Obj,
    item: Obj,
    amount: int,
    words: str,
    *,
    period: tuple[int, int],
    credited: Obj | None = None,
) -> None:
    invoice_items.add(
        world,
        subscription["customer"],
        currency=subscription["currency"],
        amount=amount,
        period=period,
        description=words,
        discountable=False,
        metadata=subscription["metadata"],
        parent=invoice_items.of_subscription(subscription, item),
        pricing=lines.pricing(world.get("price", item["price"]["id"]), subscription["currency"]),
        proration=True,
        proration_details={"discount_amounts": []},
        quantity=item["quantity"],
        _credited=credited,
    )


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y")
