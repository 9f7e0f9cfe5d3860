"""What a random customer changes of a subscription."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from billing.periods import Cycle
from billing.subscribed import Change, Item, SubscriptionState
from tests.contract.our_side import Billed, cycle_of
from tests.contract.random_offers import random_cycle, random_quantity
from tests.contract.random_shop import Shop
from tests.contract.stripe_side import Form, second

Items = tuple[Item, ...]

_IN_TRIAL = ("quantity", "swap", "add", "end trial")
_OTHERWISE = ("quantity", "quantity", "swap", "add", "remove", "interval", "restart", "begin trial")
_RESTARTS = ("interval", "restart", "begin trial", "end trial")
_BILLED = {
    "always_invoice": Billed.NOW,
    "create_prorations": Billed.WITH_NEXT,
    "none": Billed.NEVER,
}


class Wish(NamedTuple):
    """A change, what Stripe is told of it beside the items, and when it is billed."""

    kind: str
    change: Change
    terms: Form
    billed: Billed
    dated: bool
    """Whether it is prorated as of the instant of its preview."""


class Wishes:
    """Random changes of the items of one moment."""

    def __init__(self, random: Random, shop: Shop, state: SubscriptionState, now: datetime) -> None:
        self._random = random
        self._shop = shop
        self._state = state
        self._now = now
        self._cycle = cycle_of(state.items)

    def next(self) -> Wish:
        """Return one."""
        kind = self._random.choice(_IN_TRIAL if self._state.trialing else _OTHERWISE)
        alone = len(self._state.items) == 1
        if (kind == "quantity" and not self._seats()) or (kind == "remove" and alone):
            kind = "swap"
        items = self._items(kind)
        terms: Form = {}
        trial_end: datetime | None = None
        if kind == "begin trial":
            trial_end = self._now + timedelta(days=self._random.randrange(1, 31))
            terms["trial_end"] = second(trial_end)
        elif kind == "end trial":
            terms["trial_end"], trial_end = "now", self._now
        elif kind in _RESTARTS:
            terms["billing_cycle_anchor"] = {"type": "now"}
        discounts = None
        if self._random.random() < 0.15:
            coupons = self._shop.new_coupons(items, self._random.randrange(3), self._now)
            discounts = self._shop.redeem(coupons, items, self._now)
            terms["discounts"] = [{"coupon": coupon.code} for coupon in coupons] or ""
        change = Change(items=items, restart=kind == "restart", trial_end=trial_end, discounts=discounts)
        terms["proration_behavior"] = behavior = self._behavior(kind, items)
        billed = self._billed(kind, behavior)
        dated = kind not in _RESTARTS and behavior != "none"
        if dated:
            terms["proration_date"] = second(self._now)
        return Wish(kind, change, terms, billed, dated)

    def _items(self, kind: str) -> Items:
        of_kind: dict[str, Callable[[], Items]] = {
            "quantity": self._with_other_quantity,
            "swap": self._with_other_price,
            "add": lambda: (*self._state.items, self._shop.new_item(self._cycle, self._now)),
            "remove": self._without_one,
            "interval": self._with_other_interval,
        }
        return of_kind[kind]() if kind in of_kind else self._state.items

    def _behavior(self, kind: str, items: Items) -> str:
        licensed = all(item.licensed for item in (*self._state.items, *items))
        # What is not prorated of a restart or of usage is no money that we compute.
        unbilled = ["none"] if licensed and kind not in _RESTARTS and not self._state.trialing else []
        return self._random.choice(["always_invoice", "create_prorations", *unbilled])

    def _billed(self, kind: str, behavior: str) -> Billed:
        if kind in _RESTARTS:
            return Billed.NOW
        return Billed.NEVER if self._state.trialing else _BILLED[behavior]

    def _seats(self) -> list[Item]:
        return [item for item in self._state.items if item.licensed and item.price.kind != "flat"]

    def _with_other_quantity(self) -> Items:
        chosen = self._random.choice(self._seats())
        return self._with(replace(chosen, quantity=random_quantity(self._random, chosen.price)))

    def _with_other_price(self) -> Items:
        return self._with(self._shop.swapped(self._random.choice(self._state.items), self._cycle, self._now))

    def _without_one(self) -> Items:
        gone = self._random.choice(self._state.items)
        return tuple(item for item in self._state.items if item is not gone)

    def _with_other_interval(self) -> Items:
        other = self._other_cycle()
        return tuple(self._shop.swapped(item, other, self._now) for item in self._state.items)

    def _other_cycle(self) -> Cycle:
        return next(cycle for cycle in iter(lambda: random_cycle(self._random), None) if cycle != self._cycle)

    def _with(self, changed: Item) -> Items:
        return tuple(changed if item.id == changed.id else item for item in self._state.items)
