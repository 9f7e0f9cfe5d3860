"""Subscriptions: created, shown and listed.

docs.stripe.com/api/subscriptions, docs.stripe.com/billing/subscriptions/overview
"""

from __future__ import annotations

from devstack.stripe_simulator.billing import collection, cycle, discounts, invoices, standing, subscription_items
from devstack.stripe_simulator.billing.periods import DAY, step
from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.customers import check_attached
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

SUBSCRIPTION = "subscription"
BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete")
PRORATIONS = ("always_invoice", "create_prorations", "none")
_STATUSES = ("active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")
_LONGEST_TRIAL_DAYS = 730
NO_TAX: Obj = {"disabled_reason": None, "enabled": False, "liability": None}
_BLANK: Obj = {
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": NO_TAX,
    "billing_cycle_anchor_config": None,
    "billing_schedules": [],
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "customer_account": None,
    "days_until_due": None,
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "latest_invoice": None,
    "livemode": False,
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "payment_settings": {
        "payment_method_options": None,
        "payment_method_types": None,
        "save_default_payment_method": "off",
    },
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "schedule": None,
    "status": "incomplete",
    "transfer_data": None,
    "trial_end": None,
    "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    "trial_start": None,
}


def create(world: World, sent: Parameters) -> Obj:
    """Create a subscription, bill its first period, and try to collect as `payment_behavior` says.

    Raises: StripeFailure.
    """
    behavior = sent.choice("payment_behavior", BEHAVIORS) or "allow_incomplete"
    proration = sent.choice("proration_behavior", PRORATIONS) or "create_prorations"
    off_session = sent.boolean("off_session") or False
    subscription = begin(world, sent, proration)
    first = world.known(invoices.INVOICE, subscription["latest_invoice"])
    world.emit("customer.subscription.created", subscription)
    if first is not None:
        collection.settle(world, first, behavior, off_session=off_session)
    announce_trial_end(world, subscription)
    return subscription


def begin(world: World, sent: Parameters, proration: str) -> Obj:
    """Keep a new subscription with the draft of its first invoice; nothing is announced or collected yet."""
    customer = world.get("customer", sent.required("customer"), "customer")
    subscription = _blank(world, sent, customer)
    now = subscription["created"]
    _check_one_currency(world, subscription)
    subscription["discounts"] = discounts.read(world, sent, subscription) or []
    items = subscription_items.changed(world, subscription, subscription_items.read(sent))
    trial_end = _trial_end(sent, now)
    subscription |= _anchored(sent, items, now, trial_end)
    items = cycle.start_periods(subscription, items, now, trial_end)
    stub_is_free = subscription["billing_cycle_anchor"] > now and trial_end is None and proration == "none"
    bought = [] if stub_is_free else cycle.in_advance(world, subscription, items, free=trial_end is not None)
    world.insert(subscription)
    invoice, items = cycle.draw_up(world, subscription, items, bought, reason="subscription_create", at=now)
    owed = invoice is not None and invoice["amount_due"] > 0
    changes = {
        **subscription_items.listed(subscription["id"], items),
        "latest_invoice": invoice and invoice["id"],
        "status": "incomplete" if owed else standing.running(subscription, now),
    }
    world.update(subscription, changes)
    world.update(customer, {"currency": subscription["currency"]})
    subscription_items.remember(world, subscription)
    return subscription


def announce_trial_end(world: World, subscription: Obj) -> None:
    """Say three days before that a trial ends, or at once where that is closer."""
    ends = subscription["trial_end"]
    if subscription["status"] == "trialing" and world.now(subscription) >= ends - 3 * DAY:
        world.update(subscription, {"_trial_will_end": ends})
        world.emit("customer.subscription.trial_will_end", subscription)


def retrieve(world: World, call: Call, subscription: str) -> Obj:
    """Return a subscription."""
    return world.get(SUBSCRIPTION, subscription)


def list_all(world: World, call: Call) -> Page:
    """List subscriptions: without a status, those that are not canceled."""
    sent = call.parameters
    status = sent.choice("status", (*_STATUSES, "all", "ended"))
    customer, price, clock = sent.text("customer"), sent.text("price"), sent.text("test_clock")
    method = sent.choice("collection_method", ("charge_automatically", "send_invoice"))
    hidden = {None: {"canceled", "incomplete_expired"}, "all": set()}
    shown = {"ended": {"canceled", "incomplete_expired"}}.get(status or "", {status})
    found = [
        subscription
        for subscription in within(sent, world.find(SUBSCRIPTION))
        if (subscription["status"] not in hidden[status] if status in hidden else subscription["status"] in shown)
        and customer in (None, subscription["customer"])
        and clock in (None, subscription["test_clock"])
        and method in (None, subscription["collection_method"])
        and (price is None or any(item["price"]["id"] == price for item in subscription_items.held(subscription)))
    ]
    return paginate(sent, call.path, found)


def read_fields(world: World, sent: Parameters, subscription: Obj) -> Obj:
    """Return the plain fields that a creation and an update may set."""
    fields: Obj = {"metadata": sent.metadata(subscription["metadata"])}
    if method := sent.text("default_payment_method"):
        customer = world.get("customer", subscription["customer"])
        fields["default_payment_method"] = check_attached(world, customer, method, "default_payment_method")["id"]
    if (tax := read_automatic_tax(sent)) is not None:
        fields["automatic_tax"] = tax
    if sent.given("description"):
        fields["description"] = sent.text("description") or None
    if (settings := sent.mapping("trial_settings")) is not None:
        behavior = settings.mapping("end_behavior")
        chosen = behavior and behavior.choice("missing_payment_method", ("cancel", "create_invoice", "pause"))
        if not chosen:
            raise missing_parameter("trial_settings[end_behavior][missing_payment_method]")
        fields["trial_settings"] = {"end_behavior": {"missing_payment_method": chosen}}
    if (settings := sent.mapping("payment_settings")) is not None:
        saved = settings.choice("save_default_payment_method", ("off", "on_subscription"))
        types = settings.texts("payment_method_types")
        present = subscription["payment_settings"]
        fields["payment_settings"] = present | {
            "payment_method_types": types or present["payment_method_types"],
            "save_default_payment_method": saved or present["save_default_payment_method"],
        }
    sent.choice("collection_method", ("charge_automatically",))
    return fields


def read_automatic_tax(sent: Parameters) -> Obj | None:
    """Return `automatic_tax`, None where it is not said; kept and shown only: no tax is computed."""
    tax = sent.mapping("automatic_tax")
    return None if tax is None else {**NO_TAX, "enabled": tax.boolean("enabled") or False}


def read_cancel_at(sent: Parameters, subscription: Obj, now: int) -> Obj:
    """Return what `cancel_at` and `cancel_at_period_end` set."""
    ends = [item["current_period_end"] for item in subscription_items.held(subscription)]
    at_end, word = sent.boolean("cancel_at_period_end"), sent.text("cancel_at")
    if subscription["schedule"] is not None and not (at_end is None and word is None):
        message = f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating"
        raise StripeFailure(f"{message} any cancelation behavior directly is not allowed. Update the schedule instead.")
    if at_end and word:
        raise invalid_parameter("cancel_at", "You may only specify one of `cancel_at` and `cancel_at_period_end`.")
    if at_end:
        return {"cancel_at": min(ends), "cancel_at_period_end": True, "canceled_at": now}
    if word in ("min_period_end", "max_period_end"):
        when = min(ends) if word == "min_period_end" else max(ends)
        return {"cancel_at": when, "cancel_at_period_end": False, "canceled_at": now}
    if word:
        when = sent.integer("cancel_at") or 0
        if when <= now:
            raise invalid_parameter("cancel_at", "`cancel_at` must be in the future.")
        return {"cancel_at": when, "cancel_at_period_end": False, "canceled_at": now}
    if word == "" or at_end is False:
        return {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
    return {}


def read_trial_end(sent: Parameters, now: int) -> int | None:
    """Return `trial_end`: an instant after now, or now."""
    if sent.text("trial_end") == "now":
        return now
    trial_end = sent.integer("trial_end")
    if trial_end is not None and not now < trial_end <= now + _LONGEST_TRIAL_DAYS * DAY:
        message = "Invalid trial_end: must be a timestamp in the future, at most 730 days ahead."
        raise invalid_parameter("trial_end", message)
    return trial_end


def _blank(world: World, sent: Parameters, customer: Obj) -> Obj:
    """Return a subscription without items and periods."""
    identifier, now = world.new_id("sub"), world.now(customer)
    subscription: Obj = {
        "id": identifier,
        "object": SUBSCRIPTION,
        **_BLANK,
        "billing_cycle_anchor": now,
        "billing_mode": _billing_mode(sent),
        "collection_method": "charge_automatically",
        "created": now,
        "currency": _currency(world, sent),
        "customer": customer["id"],
        **subscription_items.listed(identifier, ()),
        "metadata": {},
        "start_date": now,
        "test_clock": customer["test_clock"],
    }
    return subscription | read_fields(world, sent, subscription)


def _check_one_currency(world: World, subscription: Obj) -> None:
    """Refuse a second currency for a customer while anything of theirs runs in another."""
    others = world.find(SUBSCRIPTION, customer=subscription["customer"])
    for other in others:
        if other["status"] not in standing.ENDED and other["currency"] != subscription["currency"]:
            raise StripeFailure(
                "You cannot combine currencies on a single customer. This customer has an active subscription,"
                f" subscription schedule, discount, quote, or invoice item with currency {other['currency']}"
            )


def _billing_mode(sent: Parameters) -> Obj:
    mode = sent.mapping("billing_mode")
    kind = mode and mode.choice("type", ("classic", "flexible"))
    if kind == "classic":
        return {"flexible": None, "type": "classic"}
    if mode is not None and (flexible := mode.mapping("flexible")) is not None:
        flexible.choice("proration_discounts", ("included",))
    return {"flexible": {"proration_discounts": "included"}, "type": "flexible"}


def _currency(world: World, sent: Parameters) -> str:
    """Return the currency asked for, or the one of the first item's price."""
    if asked := sent.text("currency"):
        return check_currency(asked)
    entries = sent.items("items")
    if not entries:
        raise missing_parameter("items")
    currency: str = world.get("price", entries[0].required("price"), "items[0][price]")["currency"]
    return currency


def _trial_end(sent: Parameters, now: int) -> int | None:
    days = sent.integer("trial_period_days", least=1, most=_LONGEST_TRIAL_DAYS)
    given = read_trial_end(sent, now)
    if days is not None and given is not None:
        raise invalid_parameter("trial_end", "You cannot set `trial_end` and `trial_period_days`.")
    ends = now + days * DAY if days is not None else given
    return ends if ends is not None and ends > now else None


def _anchored(sent: Parameters, items: list[Obj], now: int, trial_end: int | None) -> Obj:
    """Return the anchor and the trial. An anchor lies ahead, not behind the first renewal."""
    fields: Obj = {"trial_end": trial_end, "trial_start": now} if trial_end is not None else {}
    anchor = sent.integer("billing_cycle_anchor")
    start = trial_end or now
    if anchor is not None:
        latest = min(step(start, item["price"]["recurring"], 1) for item in items)
        if anchor < start:
            raise invalid_parameter("billing_cycle_anchor", "`billing_cycle_anchor` must be in the future.")
        if anchor > latest:
            message = f"`billing_cycle_anchor` cannot be later than next natural billing date ({latest}) for plan"
            raise invalid_parameter("billing_cycle_anchor", message)
    return fields | {"billing_cycle_anchor": anchor or start}


def _create(world: World, call: Call) -> Obj:
    return create(world, call.parameters)


ROUTES = [
    Route("POST", "/v1/subscriptions", _create),
    Route("GET", "/v1/subscriptions", list_all),
    Route("GET", "/v1/subscriptions/{subscription}", retrieve),
]
