"""How this account bills: what in Stripe is set in the Dashboard."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World

_KIND, _ID = "_account", "billing"
DEFAULTS: Obj = {
    "draft_s": 3_600,
    # Days from one failed try to the next; Stripe's Smart Retries have no fixed times.
    "retry_days": [1, 3, 5, 7],
    "after_retries": "cancel",
    "upcoming_days": 7,
}
"""How long renewals stay drafts, when failed payments are retried and what then (cancel, unpaid, past_due), and
how many days before a renewal `invoice.upcoming` is sent. docs.stripe.com/billing/revenue-recovery/smart-retries"""


def settings(world: World) -> Obj:
    """Return the settings."""
    return world.known(_KIND, _ID) or DEFAULTS


def change(world: World, **changes: object) -> Obj:
    """Change some of the settings, from now on."""
    assert changes.keys() <= DEFAULTS.keys(), changes
    known = world.known(_KIND, _ID) or world.insert({"id": _ID, "object": _KIND, **DEFAULTS})
    return world.update(known, changes)
