"""Our previews are the simulator's invoices: two independent implementations of Stripe's rules agree on every unit."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from tests.contract.random_offers import CURRENCIES
from tests.contract.random_story import Story

_STORIES = 500
_BLOCK = 50

FEATURES = (
    *("flat, licensed", "per_seat, licensed", "per_unit, licensed", "graduated, licensed", "volume, licensed"),
    *("package, licensed", "per_unit, metered", "graduated, metered", "volume, metered", "package, metered"),
    *("minimum", "maximum", "included quantity", "several currencies", *CURRENCIES),
    *("every day", "every week", "every month", "every year"),
    *("every few days", "every few weeks", "every few months", "every few years"),
    *("month end", "renewal on a short month's last day", "leap day", "clock change", "any day"),
    *("trial", "begin trial", "end trial", "change in a trial"),
    *("quantity", "swap", "add", "remove", "interval", "restart", "other discounts"),
    *("always_invoice", "create_prorations", "none", "carried out later, prorated as of the preview"),
    *("coupon: percent, once", "coupon: percent, repeating", "coupon: percent, forever", "coupon for a plan"),
    *("coupon: amount, once", "coupon: amount, repeating", "coupon: amount, forever"),
    *("invoice", "negative invoice", "credit balance", "proration", "discounted line"),
)
_LEAST = 20
"""How often each feature must come in all stories together."""


@cache
def told(seed: int) -> Counter[str]:
    """Tell a story, and return what there was in it."""
    story = Story(seed)
    story.run()
    return story.features


@pytest.mark.parametrize("first", range(0, _STORIES, _BLOCK))
def test_previews_are_the_simulators_invoices(first: int) -> None:
    for seed in range(first, first + _BLOCK):
        assert told(seed)["invoice"]


def test_the_stories_have_every_feature() -> None:
    together: Counter[str] = sum((told(seed) for seed in range(_STORIES)), Counter())
    assert {name: together[name] for name in FEATURES if together[name] < _LEAST} == {}
    assert set(together) == {*FEATURES, "line"}
