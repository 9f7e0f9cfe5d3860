"""Updates of subscriptions and their items over the API. docs.stripe.com/api/subscriptions/update"""

from __future__ import annotations

from devstack.stripe_simulator.billing import (
    cancellations,
    changes,
    collection,
    discounts,
    standing,
    subscription_items,
    subscriptions,
)
from devstack.stripe_simulator.billing.changes import Change
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_PAUSES = ("keep_as_draft", "mark_uncollectible", "void")


def update(world: World, call: Call, subscription: str) -> Obj:
    """Change a subscription."""
    sent, found = call.parameters, world.get(subscriptions.SUBSCRIPTION, subscription)
    behavior, off_session = _payment(sent)
    before = found["discounts"]
    invoice = apply(world, sent, found)
    for gone in set(before) - set(found["discounts"]):
        world.emit("customer.discount.deleted", world.get(discounts.DISCOUNT, gone))
    if invoice is not None:
        collection.settle(world, invoice, behavior, off_session=off_session)
    subscriptions.announce_trial_end(world, found)
    return found


def apply(world: World, sent: Parameters, subscription: Obj) -> Obj | None:
    """Do what an update, or the preview of one, asks for; return the draft that is to be settled at once."""
    if subscription["status"] in standing.ENDED:
        raise StripeFailure("A canceled subscription can only update its cancellation_details and metadata.")
    change = read(world, sent, subscription)
    if not change.items and not change.reset_anchor and change.trial_end is None:
        world.update(subscription, change.fields, standing.UPDATED)
        return None
    if subscription["status"] == "incomplete":
        raise StripeFailure("This subscription is incomplete: its first invoice must be paid before it can change.")
    return changes.apply(world, subscription, change)


def read(world: World, sent: Parameters, subscription: Obj) -> Change:
    """Return what an update asks for."""
    now = world.now(subscription)
    proration = sent.choice("proration_behavior", subscriptions.PRORATIONS) or "create_prorations"
    fields = subscriptions.read_fields(world, sent, subscription)
    ending = subscriptions.read_cancel_at(sent, subscription, now)
    fields |= ending | ({"_cancel_proration": proration} if ending else {})
    fields |= {"cancellation_details": cancellations.read_details(sent, subscription["cancellation_details"])}
    if (wanted := discounts.read(world, sent, subscription)) is not None:
        fields["discounts"] = wanted
    if sent.given("pause_collection"):
        fields["pause_collection"] = _pause(sent.mapping("pause_collection"))
    anchor = sent.mapping("billing_cycle_anchor")
    return Change(
        items=subscription_items.read(sent),
        fields=fields,
        proration=proration,
        proration_date=sent.integer("proration_date"),
        reset_anchor=anchor is not None and anchor.choice("type", ("now", "unchanged")) == "now",
        trial_end=subscriptions.read_trial_end(sent, now),
    )


def create_item(world: World, call: Call) -> Obj:
    """Add an item to a subscription."""
    sent = call.parameters
    owner = world.get(subscriptions.SUBSCRIPTION, sent.required("subscription"), "subscription")
    known = {item["id"] for item in subscription_items.held(owner)}
    entry = subscription_items.read_one(sent)
    if entry.price is None:
        raise missing_parameter("price")
    _change_item(world, sent, owner, entry)
    return next(item for item in subscription_items.held(owner) if item["id"] not in known)


def update_item(world: World, call: Call, item: str) -> Obj:
    """Change the price or the quantity of an item."""
    owner, found = subscription_items.find(world, item)
    entry = subscription_items.read_one(call.parameters)
    kept = found.get("quantity") if entry.price is None and entry.quantity is None else entry.quantity
    _change_item(
        world,
        call.parameters,
        owner,
        subscription_items.ItemChange(item, entry.price, kept, metadata=entry.metadata),
    )
    return subscription_items.find(world, item)[1]


def delete_item(world: World, call: Call, item: str) -> Obj:
    """Remove an item from its subscription."""
    owner, _ = subscription_items.find(world, item)
    call.parameters.boolean("clear_usage")
    _change_item(world, call.parameters, owner, subscription_items.ItemChange(item, deleted=True))
    return {"id": item, "object": "subscription_item", "deleted": True}


def retrieve_item(world: World, call: Call, item: str) -> Obj:
    """Return an item."""
    return subscription_items.find(world, item)[1]


def list_items(world: World, call: Call) -> Page:
    """List the items of a subscription."""
    owner = world.get(subscriptions.SUBSCRIPTION, call.parameters.required("subscription"), "subscription")
    return paginate(call.parameters, call.path, subscription_items.held(owner))


def _change_item(world: World, sent: Parameters, owner: Obj, entry: subscription_items.ItemChange) -> None:
    behavior, off_session = _payment(sent)
    change = Change(
        items=[entry],
        proration=sent.choice("proration_behavior", subscriptions.PRORATIONS) or "create_prorations",
        proration_date=sent.integer("proration_date"),
    )
    invoice = changes.apply(world, owner, change)
    if invoice is not None:
        collection.settle(world, invoice, behavior, off_session=off_session)


def _payment(sent: Parameters) -> tuple[str, bool]:
    behavior = sent.choice("payment_behavior", subscriptions.BEHAVIORS) or "allow_incomplete"
    return behavior, sent.boolean("off_session") or False


def _pause(sent: Parameters | None) -> Obj | None:
    if sent is None:
        return None
    behavior = sent.choice("behavior", _PAUSES)
    if not behavior:
        raise invalid_parameter("pause_collection[behavior]", "Missing required param: pause_collection[behavior].")
    return {"behavior": behavior, "resumes_at": sent.integer("resumes_at")}


ROUTES = [
    Route("POST", "/v1/subscriptions/{subscription}", update),
    Route("POST", "/v1/subscription_items", create_item),
    Route("GET", "/v1/subscription_items", list_items),
    Route("GET", "/v1/subscription_items/{item}", retrieve_item),
    Route("POST", "/v1/subscription_items/{item}", update_item),
    Route("DELETE", "/v1/subscription_items/{item}", delete_item),
]
