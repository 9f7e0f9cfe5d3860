"""Where random customers buy: makes random items, prices and coupons, and publishes them to the simulator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

from billing.discounts import Coupon, Discount, redeem
from billing.periods import Cycle
from billing.prices import Price
from billing.subscribed import Item
from tests.contract.diary import Diary
from tests.contract.random_offers import random_coupon, random_price, random_quantity
from tests.contract.stripe_side import StripeSide

_PLANS = ("base", "extra")


class Shop:
    """Sells to one customer, in one currency, though prices may have several."""

    def __init__(self, random: Random, stripe: StripeSide, diary: Diary, currencies: tuple[str, ...]) -> None:
        self._random = random
        self._stripe = stripe
        self._diary = diary
        self._currencies = currencies
        self._number = 0
        self.currency = currencies[-1]

    def new_item(self, cycle: Cycle, now: datetime) -> Item:
        """Return an item of any price, licensed or metered."""
        name = f"item-{self._next()}"
        meter = f"meter-of-{name}" if self._random.random() < 0.35 else None
        return self._item(name, self._random.choice(_PLANS), cycle, meter, now)

    def swapped(self, item: Item, cycle: Cycle, now: datetime) -> Item:
        """Return an item with another price of the same usage type."""
        meter = item.price.metered.meter if item.price.metered else None
        return self._item(item.id, item.plan, cycle, meter, now)

    def new_coupons(self, items: Sequence[Item], count: int, now: datetime) -> list[Coupon]:
        """Return coupons that fit items."""
        plans = tuple(sorted({item.plan for item in items}))
        coupons = [random_coupon(self._random, f"COUPON{self._next()}", self._currencies, plans) for _ in range(count)]
        for coupon in coupons:
            self._stripe.create_coupon(coupon)
            kind = "amount" if coupon.amounts_off else "percent"
            self._diary.features[f"coupon: {kind}, {coupon.duration}"] += 1
            self._diary.features["coupon for a plan"] += bool(coupon.plans)
            self._diary.note(now, f"{coupon}")
        return coupons

    def redeem(self, coupons: Iterable[Coupon], items: Sequence[Item], now: datetime) -> tuple[Discount, ...]:
        """Redeem coupons for the plans of items."""
        plans = [item.plan for item in items]
        return tuple(redeem(each, now=now, currency=self.currency, plans=plans, redemptions=0) for each in coupons)

    def _item(self, name: str, plan: str, cycle: Cycle, meter: str | None, now: datetime) -> Item:
        price = random_price(self._random, f"price-{self._next()}", cycle, self._currencies, meter=meter)
        self._stripe.publish(price, plan, name)
        self._count(price)
        self._diary.note(now, f"{price.slug} of {plan} for {name}: {price}")
        item = Item(id=name, price=price, plan=plan)
        return replace(item, quantity=random_quantity(self._random, price)) if item.licensed else item

    def _count(self, price: Price) -> None:
        features, rate = self._diary.features, price.rate(self.currency)
        features[f"{price.kind}, {'metered' if price.metered else 'licensed'}"] += 1
        features[f"every {price.cycle.interval}"] += price.cycle.count == 1
        features[f"every few {price.cycle.interval}s"] += price.cycle.count > 1
        features["several currencies"] += len(price.rates) > 1
        features["minimum"] += rate.minimum is not None
        features["maximum"] += rate.maximum is not None
        features["included quantity"] += price.included_quantity > 0

    def _next(self) -> int:
        self._number += 1
        return self._number
