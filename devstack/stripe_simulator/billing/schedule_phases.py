"""Phases of a schedule, as callers describe them one after the other. docs.stripe.com/api/subscription_schedules"""

from __future__ import annotations

from devstack.stripe_simulator.billing.periods import step
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.billing.subscriptions import NO_TAX, PRORATIONS, read_automatic_tax
from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

_ANCHORS = ("automatic", "phase_start")
_INTERVALS = ("day", "week", "month", "year")


def read(world: World, sent: Parameters, start: int) -> list[Obj]:
    """Return the phases; each begins where the one before it ends, the first at `start`."""
    phases: list[Obj] = []
    for entry in sent.items("phases") or []:
        asked = entry.text("start_date")
        if phases and asked is not None and entry.integer("start_date") != start:
            raise invalid_parameter(entry.path("start_date"), "A phase must start when the one before it ends.")
        phase = _read_one(world, entry, start)
        start = phase["end_date"]
        phases.append(phase)
    if not phases:
        raise missing_parameter("phases")
    return phases


def of_subscription(subscription: Obj) -> Obj:
    """Return the phase that a subscription is in when a schedule is made of it: its present period."""
    items = held(subscription)
    named = [{"discount": each} for each in subscription["discounts"]]
    return _phase(
        automatic_tax=subscription["automatic_tax"],
        default_payment_method=subscription["default_payment_method"],
        description=subscription["description"],
        discounts=_shown(named),
        start_date=min(item["current_period_start"] for item in items),
        end_date=min(item["current_period_end"] for item in items),
        currency=subscription["currency"],
        items=[_item(item["price"]["id"], item.get("quantity"), {}) for item in items],
        trial_end=subscription["trial_end"],
        _discounts=named,
    )


def _read_one(world: World, entry: Parameters, start: int) -> Obj:
    items, discounts = _items(world, entry), _discounts(entry)
    trial_end = entry.integer("trial_end")
    end = _end(entry, start)
    entry.choice("collection_method", ("charge_automatically",))
    return _phase(
        automatic_tax=read_automatic_tax(entry) or NO_TAX,
        billing_cycle_anchor=entry.choice("billing_cycle_anchor", _ANCHORS) or None,
        currency=entry.text("currency") or world.get("price", items[0]["price"])["currency"],
        default_payment_method=entry.text("default_payment_method") or None,
        description=entry.text("description") or None,
        discounts=_shown(discounts or []),
        end_date=end,
        items=items,
        metadata=entry.metadata(),
        proration_behavior=entry.choice("proration_behavior", PRORATIONS) or "create_prorations",
        start_date=start,
        trial_end=end if entry.boolean("trial") else trial_end,
        _discounts=discounts,
    )


def _phase(**fields: object) -> Obj:
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "automatic_tax": NO_TAX,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "invoice_settings": None,
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "transfer_data": None,
        "trial_end": None,
        "_discounts": None,
        **fields,
    }


def _item(price: str, quantity: int | None, metadata: dict[str, str]) -> Obj:
    item: Obj = {"billing_thresholds": None, "discounts": [], "metadata": metadata, "price": price, "tax_rates": []}
    return item if quantity is None else item | {"quantity": quantity}


def _items(world: World, entry: Parameters) -> list[Obj]:
    items = []
    for each in entry.items("items") or []:
        price = world.get("price", each.required("price"), each.path("price"))
        quantity = each.integer("quantity", least=0)
        if price["recurring"] is None:
            raise invalid_parameter(each.path("price"), "The price specified must be of `type=recurring`.")
        if price["recurring"]["usage_type"] == "licensed" and quantity is None:
            quantity = 1
        items.append(_item(price["id"], quantity, each.metadata()))
    if not items:
        raise missing_parameter(entry.path("items"))
    return items


def _discounts(entry: Parameters) -> list[dict[str, str]] | None:
    sent = entry.items("discounts")
    if sent is None:
        return None
    return [
        {name: value for name in ("coupon", "discount", "promotion_code") if (value := each.text(name)) is not None}
        for each in sent
    ]


def _shown(discounts: list[dict[str, str]]) -> list[Obj]:
    return [{"coupon": None, "discount": None, "promotion_code": None} | each for each in discounts]


def _end(entry: Parameters, start: int) -> int:
    end, duration = entry.integer("end_date"), entry.mapping("duration")
    if (end is None) == (duration is None):
        raise missing_parameter(entry.path("end_date"))
    if duration is not None:
        interval = duration.choice("interval", _INTERVALS)
        if not interval:
            raise missing_parameter(duration.path("interval"))
        count = duration.integer("interval_count", least=1) or 1
        return step(start, {"interval": interval, "interval_count": 1}, count)
    if end is None or end <= start:
        raise invalid_parameter(entry.path("end_date"), "The end of a phase must be after its start.")
    return end
