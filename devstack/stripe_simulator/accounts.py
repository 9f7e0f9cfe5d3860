"""The one account that is simulated."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World


def _own(world: World, call: Call) -> Obj:
    """Return the account of the key; every simulator's has the same id."""
    del world, call
    return {"id": "acct_simulator", "object": "account", "charges_enabled": True, "payouts_enabled": True}


ROUTES = [Route("GET", "/v1/account", _own)]
