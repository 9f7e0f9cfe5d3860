"""Discounts: coupons and promotion codes on subscriptions and invoices, and what each takes off a line.

docs.stripe.com/billing/subscriptions/coupons, docs.stripe.com/api/discounts/object. An amount is spread over the
lines as in the example of docs.stripe.com/billing/subscriptions/prorations (5.00 over 10.00 and 20.00 is 1.66 and
3.34); a percentage is taken of each line. Discounts of single items are not simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from devstack.stripe_simulator import coupons, promotion_codes
from devstack.stripe_simulator.billing.amounts import rounded
from devstack.stripe_simulator.billing.periods import step
from devstack.stripe_simulator.failures import Obj, invalid_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

DISCOUNT = "discount"


def read(world: World, sent: Parameters, owner: Obj) -> list[str] | None:
    """Return the ids of what `discounts` asks for on a subscription or invoice, [] to remove them, None if unsaid."""
    entries = sent.items("discounts")
    return None if entries is None else [_read_one(world, entry, owner) for entry in entries]


def redeem(world: World, owner: Obj, *, coupon: str | None = None, promotion_code: str | None = None) -> str:
    """Put a coupon or promotion code on a subscription or invoice and return the discount's id."""
    now = world.now(owner)
    if promotion_code:
        code = world.get("promotion_code", promotion_code, "discounts[0][promotion_code]")
        terms = promotion_codes.redeem(world, code, owner["customer"])
    else:
        terms = world.get("coupon", coupon or "", "discounts[0][coupon]")
        coupons.redeem(world, terms, now)
    lasting = {"interval": "month", "interval_count": terms["duration_in_months"] or 0}
    discount = world.insert(
        {
            "id": world.new_id("di"),
            "object": DISCOUNT,
            "checkout_session": None,
            "customer": owner["customer"],
            "customer_account": None,
            "end": step(now, lasting, 1) if terms["duration"] == "repeating" else None,
            "invoice": owner["id"] if owner["object"] == "invoice" else None,
            "invoice_item": None,
            "promotion_code": promotion_code or None,
            "source": {"coupon": terms["id"], "type": "coupon"},
            "start": now,
            "subscription": owner["id"] if owner["object"] == "subscription" else None,
            "subscription_item": None,
            # The terms stay, also where the coupon is deleted.
            "_coupon": dict(terms),
        },
        "customer.discount.created",
    )
    identifier: str = discount["id"]
    return identifier


def active(world: World, identifiers: Iterable[str], at: int) -> list[str]:
    """Return those that still take something off at a time."""
    found = (world.get(DISCOUNT, identifier) for identifier in identifiers)
    return [discount["id"] for discount in found if discount["end"] is None or at < discount["end"]]


def drop(world: World, subscription: Obj, gone: Iterable[str]) -> None:
    """Take discounts off a subscription: they were used up, or their time is over."""
    away = set(gone) & set(subscription["discounts"])
    for identifier in sorted(away):
        # The object stays: drafts and invoices name it.
        world.emit("customer.discount.deleted", world.get(DISCOUNT, identifier))
    kept = [identifier for identifier in subscription["discounts"] if identifier not in away]
    world.update(subscription, {"discounts": kept}, "customer.subscription.updated")


def used_up(world: World, invoice: Obj) -> list[str]:
    """Return the discounts for one invoice only that an invoice used."""
    amounts = invoice["total_discount_amounts"]
    used = [world.known(DISCOUNT, entry["discount"]) for entry in amounts if entry["amount"]]
    return [discount["id"] for discount in used if discount and discount["_coupon"]["duration"] == "once"]


def shares(world: World, currency: str, lines: Sequence[Obj], identifiers: Iterable[str]) -> list[list[Obj]]:
    """Return each line's `discount_amounts`: one discount after the other, never more than what is left of the line."""
    left = [line["amount"] for line in lines]
    found: list[list[Obj]] = [[] for _ in lines]
    for identifier in identifiers:
        coupon = world.get(DISCOUNT, identifier)["_coupon"]
        places = [
            place
            for place, line in enumerate(lines)
            if line["discountable"] and left[place] > 0 and _is_for(coupon, line)
        ]
        for place, amount in zip(places, _off(coupon, currency, [left[place] for place in places]), strict=True):
            left[place] -= amount
            found[place].append({"amount": amount, "discount": identifier})
    return found


def _off(coupon: Obj, currency: str, amounts: Sequence[int]) -> list[int]:
    if coupon["percent_off"] is not None:
        percent = Decimal(str(coupon["percent_off"]))
        return [rounded(amount * percent / 100) for amount in amounts]
    total = sum(amounts)
    off = min(coupon["_currency_options"].get(currency, {"amount_off": 0})["amount_off"], total)
    reached = [off * sum(amounts[: count + 1]) // total for count in range(len(amounts))]
    return [upper - lower for lower, upper in zip([0, *reached], reached, strict=False)]


def _is_for(coupon: Obj, line: Obj) -> bool:
    products = coupon.get("_applies_to", {}).get("products")
    pricing = line["pricing"]
    return not products or (pricing is not None and pricing["price_details"]["product"] in products)


def _read_one(world: World, entry: Parameters, owner: Obj) -> str:
    coupon, code, known = entry.text("coupon"), entry.text("promotion_code"), entry.text("discount")
    if sum(map(bool, (coupon, code, known))) != 1:
        message = "You must pass exactly one of `coupon`, `discount` and `promotion_code`."
        raise invalid_parameter(entry.path("coupon"), message)
    if known:
        world.get(DISCOUNT, known, entry.path("discount"))
        return known
    return redeem(world, owner, coupon=coupon, promotion_code=code)
