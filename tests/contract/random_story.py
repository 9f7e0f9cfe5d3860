"""A random customer's life with a subscription, told to both sides at once; they must ask for the same money."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from billing.invoices import Invoice
from billing.money import to_major
from tests.contract.bill import Bill, nothing, our_bill
from tests.contract.diary import Diary
from tests.contract.our_side import OurSide
from tests.contract.random_changes import Wish, Wishes
from tests.contract.random_offers import (
    CLOCK_CHANGES,
    CURRENCIES,
    ODD_CURRENCIES,
    ZONES,
    random_clock_change,
    random_cycle,
    random_start,
    random_usage,
)
from tests.contract.random_shop import Shop
from tests.contract.stripe_side import Form, StripeSide, second

_LEAST_CHARGE = 300
"""What is less may not be charged, in some currency, but moved to the balance; our previews leave that to Stripe."""


class Story:
    """One story, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random = Random(seed)
        self._diary = Diary(f"Story {seed}")
        self._currency = random.choice(CURRENCIES)
        others = [each for each in ("usd", "eur") if each != self._currency]
        currencies = (*random.sample(others, random.randrange(2)), self._currency)
        self._now, special = random_start(random)
        balance = random.choice([0, 0, 0, -500, -20_000, 700])
        self._stripe = StripeSide(self._now, balance)
        self._shop = Shop(random, self._stripe, self._diary, currencies)
        self._ours = self._beginning(balance)
        self.features.update([special, self._currency])

    @property
    def features(self) -> Counter[str]:
        """Return what there was in the story so far, and how often."""
        return self._diary.features

    def run(self) -> None:
        """Tell it. Raises: AssertionError with the whole story where the two sides differ."""
        self._begin()
        for _ in range(self._random.randrange(1, 4)):
            for _ in range(self._random.choice([0, 1, 1, 2])):
                self._change()
            self._renew()

    def _beginning(self, balance: int) -> OurSide:
        """Choose what is subscribed to."""
        random = self._random
        cycle = random_cycle(random)
        items = tuple(self._shop.new_item(cycle, self._now) for _ in range(random.choice([1, 1, 2, 3])))
        self._coupons = self._shop.new_coupons(items, random.choice([0, 0, 1, 1, 2]), self._now)
        trial_end = self._now + timedelta(days=random.randrange(1, 31)) if random.random() < 0.2 else None
        return OurSide.beginning(
            items,
            self._currency,
            self._now,
            trial_end=trial_end,
            discounts=self._shop.redeem(self._coupons, items, self._now),
            balance=balance,
        )

    def _begin(self) -> None:
        state = self._ours.state
        terms: Form = {"currency": self._currency, "discounts": [{"coupon": each.code} for each in self._coupons]}
        if state.trialing:
            self.features["trial"] += 1
            terms["trial_end"] = second(state.period.end)
        self._note(f"begins with {state}")
        if any(item.licensed for item in state.items):
            preview = self._stripe.preview_creation(state.items, terms)
            self._compare("preview of the creation", self._ours.preview_creation(), preview)
        self._settle("creation", self._ours.create(), self._stripe.subscribe(state.items, terms))

    def _renew(self) -> None:
        state = self._ours.state
        self._use_some(before=state.period.end)
        self._compare("preview of the renewal", self._ours.preview_renewal(), self._stripe.preview_renewal())
        self._now = state.period.end
        self.features["renewal on a short month's last day"] += self._now.day < state.anchor.day
        self._settle("renewal", self._ours.renew(), self._stripe.renew(self._now))
        assert self._stripe.status() == "active"

    def _change(self) -> None:
        self._now = self._instant_of_change()
        self._use_some(before=self._now)
        self._stripe.advance(self._now)
        state = self._ours.state
        wish = Wishes(self._random, self._shop, state, self._now).next()
        self._count(wish)
        self._note(f"{wish.kind}, {wish.terms}: {wish.change}")
        ours = self._ours.preview_change(wish.change, self._now, wish.billed)
        theirs = self._stripe.preview_change(wish.change.items, wish.terms)
        self._compare("preview of the change", ours, theirs)
        if wish.dated and self._random.random() < 0.3:
            self.features["carried out later, prorated as of the preview"] += 1
            late = self._now + timedelta(seconds=self._random.randrange(1, 600))
            self._stripe.advance(min(late, state.period.end - timedelta(seconds=1)))
        invoice = self._ours.change(wish.change, self._now, wish.billed)
        self._settle("change", invoice, self._stripe.change(wish.change.items, wish.terms))

    def _count(self, wish: Wish) -> None:
        self.features.update([wish.kind, wish.terms["proration_behavior"]])
        self.features["other discounts"] += wish.change.discounts is not None
        self.features["change in a trial"] += self._ours.state.trialing

    def _instant_of_change(self) -> datetime:
        """Return an instant after now within the period, near a change of clocks if there is one."""
        period, random = self._ours.state.period, self._random
        earliest, latest = self._stripe.frozen_time() + 2, second(period.end) - 1
        zone = ZoneInfo(random.choice(ZONES))
        near = [random_clock_change(random) for _ in CLOCK_CHANGES]
        fitting = [instant for instant in near if earliest <= second(instant) <= latest]
        if fitting and random.random() < 0.5:
            self.features["clock change"] += 1
            return random.choice(fitting)
        leap = datetime(2028, 2, 29, 12, tzinfo=UTC)
        if earliest <= second(leap) <= latest and random.random() < 0.3:
            self.features["leap day"] += 1
            return leap.astimezone(zone)
        return datetime.fromtimestamp(random.randint(min(earliest, latest), latest), zone)

    def _use_some(self, *, before: datetime) -> None:
        first, last = self._stripe.frozen_time() + 1, second(before) - 1
        metered = [(item.id, item.price.metered.meter) for item in self._ours.state.items if item.price.metered]
        if not metered or first >= last:
            return
        self._stripe.advance(datetime.fromtimestamp(self._random.randint(first, last), UTC))
        for item, meter in metered:
            used = random_usage(self._random)
            self._ours.use(item, used)
            self._stripe.use(meter, used)
            self._note(f"uses {used} of {item}")

    def _settle(self, what: str, ours: Invoice | None, theirs: Bill) -> None:
        self._compare(what, ours, theirs)
        if ours is not None:
            self.features["credit balance"] += ours.starting_balance < 0 < ours.total
            self.features["invoice"] += 1
            self.features["negative invoice"] += ours.total < 0
        balance = self._stripe.balance()
        assert balance == theirs.ending_balance, self._diary.ending(f"the balance is {balance}")
        self._ours.settle(balance)

    def _compare(self, what: str, ours: Invoice | None, theirs: Bill) -> None:
        """Hold a bill of ours against one of theirs."""
        bill = nothing(self._ours.state.balance) if ours is None else our_bill(ours)
        self._note(f"{what}: {to_major(bill.total, self._currency)}, due {to_major(bill.amount_due, self._currency)}")
        self.features["line"] += sum(bill.lines.values())
        self.features["proration"] += sum(count for line, count in bill.lines.items() if line.proration)
        self.features["discounted line"] += sum(count for line, count in bill.lines.items() if line.discount)
        too_little = theirs.amount_due == 0 and bill.amount_due < _LEAST_CHARGE
        if self._currency in ODD_CURRENCIES or too_little:
            theirs = replace(theirs, amount_due=bill.amount_due, ending_balance=theirs.owed - bill.amount_due)
        if bill != theirs:
            raise AssertionError(self._diary.ending(f"{what} differs:\n  ours   {bill}\n  theirs {theirs}"))

    def _note(self, text: str) -> None:
        self._diary.note(self._now, text)
