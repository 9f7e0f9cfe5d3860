"""Both sides of our talk with Stripe fit Stripe's own document: what the gateway asks and what the simulator says."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from sinks.stripe.client import StripeGateway
from tests.contract.business import Business
from tests.contract.scenes import SCENES
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration


class _Traced:
    """Remembers which methods of a noun were asked for."""

    def __init__(self, noun: Any) -> None:
        self._noun = noun
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self._noun, name)

    def never_asked(self) -> set[str]:
        methods = inspect.getmembers(type(self._noun), inspect.isfunction)
        return {name for name, _ in methods if not name.startswith("_")} - self.asked


async def test_everything_that_the_gateway_does_fits_stripes_document(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        nouns = {name: _Traced(noun) for name, noun in vars(gateway).items() if not name.startswith("_")}
        for name, noun in nouns.items():
            setattr(gateway, name, noun)
        with simulator.client() as api:
            business = Business(gateway, api)
            for scene in SCENES:
                await scene(business)
        never = {name: noun.never_asked() for name, noun in nouns.items() if noun.never_asked()}
    assert never == {}, "the scenes leave out methods of the gateway"
    happened = simulator.check_all()
    assert {"invoice.paid", "invoice.payment_failed", "customer.subscription.updated"} <= happened
    assert simulator.problems == []
