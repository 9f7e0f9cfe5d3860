"""The deletion of a customer, with all that hangs on it. docs.stripe.com/api/customers/delete"""

from __future__ import annotations

from devstack.stripe_simulator import payment_methods
from devstack.stripe_simulator.billing import standing
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World


def delete(world: World, call: Call, customer: str) -> Obj:
    """Delete a customer: subscriptions end at once, what was not billed yet is dropped, cards are forgotten."""
    found = world.get("customer", customer)
    for subscription in world.find("subscription", customer=customer):
        if subscription["status"] not in standing.ENDED:
            standing.end(world, subscription)
    drafts = world.find("invoice", customer=customer, status="draft")
    for item in world.find("invoiceitem", customer=customer):
        if item["invoice"] in (None, *(draft["id"] for draft in drafts)):
            world.delete(item, "invoiceitem.deleted")
    for draft in drafts:
        world.delete(draft, "invoice.deleted")
    for method in world.find("payment_method", customer=customer):
        payment_methods.detach(world, method)
    for tax_id in world.find("tax_id", customer=customer):
        world.delete(tax_id)
    world.delete(found, "customer.deleted")
    return {"id": customer, "object": "customer", "deleted": True}


ROUTES = [Route("DELETE", "/v1/customers/{customer}", delete)]
