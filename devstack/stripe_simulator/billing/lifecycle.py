"""The one place where time moves: all that is due, on the wall clock or on a test clock, in the order of time.

docs.stripe.com/billing/subscriptions/overview and docs.stripe.com/billing/testing/test-clocks. What is due is read
from the objects each time anew; nothing about it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count

from devstack.stripe_simulator.billing import (
    account,
    cancellations,
    collection,
    cycle,
    discounts,
    invoices,
    meter_readings,
    previews,
    schedule_calls,
    schedules,
    standing,
    subscriptions,
)
from devstack.stripe_simulator.billing.periods import DAY
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World

Due = tuple[int, int, Callable[[], object]]
"""When, what comes first at the same time, and what is done."""

CLOCK = "test_helpers.test_clock"
_INCOMPLETE_S = 23 * 3_600
_EXPIRING_S = 7 * DAY
_RUNNING = ("active", "past_due", "trialing", "unpaid")
_STEPS_AT_ONCE = 10_000_000


def advance(world: World, until: int, clock: str | None = None) -> None:
    """Do everything that is due until then on a clock (None is the wall clock), in the order of time."""
    meter_readings.judge(world, until if clock is None else None)
    agenda = _Agenda(world, clock)
    for steps in count():
        assert steps < _STEPS_AT_ONCE, "time does not move"
        due = agenda.next(until)
        if due is None:
            break
        at, customer, do = due
        if clock is not None:
            _set_time(world, clock, at)
        do()
        agenda.plan(customer)
    if clock is not None:
        _set_time(world, clock, until)


def tick(world: World) -> None:
    """Do what is due on the wall clock, and move the test clocks that are to move."""
    advance(world, world.clock.now())
    for clock in reversed(world.find(CLOCK, status="advancing")):
        advance(world, clock["status_details"]["advancing"]["target_frozen_time"], clock["id"])
        world.update(clock, {"status": "ready", "status_details": {}}, "test_helpers.test_clock.ready")


def _set_time(world: World, clock: str, now: int) -> None:
    found = world.get(CLOCK, clock)
    world.update(found, {"frozen_time": max(now, found["frozen_time"])})


class _Agenda:
    """What is due, of all customers on a clock; what was done for one changes what is due for that one only."""

    def __init__(self, world: World, clock: str | None) -> None:
        self._world = world
        self._heap: list[tuple[int, int, int, str, int]] = []
        self._actions: dict[int, Callable[[], object]] = {}
        self._versions: dict[str, int] = {}
        self._numbers = count()
        found = [obj for obj in _objects(world) if world.clock_of(obj) == clock]
        for customer in {obj["customer"] for obj in found}:
            self._versions[customer] = 0
        for obj in found:
            self._add(obj)

    def plan(self, customer: str) -> None:
        """Look again at what is due for a customer."""
        self._versions[customer] += 1
        for obj in _objects(self._world, customer=customer):
            self._add(obj)

    def next(self, until: int) -> tuple[int, str, Callable[[], object]] | None:
        """Take the first thing that is due, None where it is later than `until`."""
        while self._heap and self._heap[0][0] <= until:
            at, _, number, customer, version = heappop(self._heap)
            do = self._actions.pop(number)
            if version == self._versions[customer]:
                return at, customer, do
        return None

    def _add(self, obj: Obj) -> None:
        customer = obj["customer"]
        for at, order, do in _due(self._world, obj):
            number = next(self._numbers)
            self._actions[number] = do
            heappush(self._heap, (at, order, number, customer, self._versions[customer]))


def _objects(world: World, **equal: str) -> list[Obj]:
    """Return what may have something due, oldest first."""
    kinds = (subscriptions.SUBSCRIPTION, schedules.SCHEDULE, invoices.INVOICE)
    return [obj for kind in kinds for obj in reversed(world.find(kind, **equal))]


def _due(world: World, obj: Obj) -> Iterator[Due]:
    """Return what is due next for an object."""
    if obj["object"] == subscriptions.SUBSCRIPTION:
        yield from _due_of_subscription(world, obj)
    elif obj["object"] == invoices.INVOICE:
        yield from _due_of_invoice(world, obj)
    elif obj["status"] == "not_started":
        yield obj["phases"][0]["start_date"], 2, partial(schedule_calls.begin, world, obj)


def _due_of_subscription(world: World, subscription: Obj) -> Iterator[Due]:
    status = subscription["status"]
    if status == "incomplete":
        yield subscription["created"] + _INCOMPLETE_S, 0, lambda: standing.expire(world, subscription)
    if status not in _RUNNING:
        return
    yield from _due_by_choice(world, subscription)
    yield from _due_in_trial(world, subscription)
    at = min(item["current_period_end"] for item in held(subscription))
    if status != "trialing":
        yield at, 4, lambda: cycle.renew(world, subscription, at)
    ends, announced = subscription["cancel_at"], subscription.get("_upcoming_for") == at
    # docs.stripe.com/billing/subscriptions/pause-payment: nothing is sent ahead of invoices that are not collected.
    if (ends is None or ends > at) and not announced and subscription["pause_collection"] is None:
        yield at - account.settings(world)["upcoming_days"] * DAY, 6, lambda: _announce_renewal(world, subscription, at)


def _due_by_choice(world: World, subscription: Obj) -> Iterator[Due]:
    """Return what somebody set a time for: the end, a phase, the end of a pause or of a discount."""
    if (ends := subscription["cancel_at"]) is not None:
        yield ends, 0, lambda: cancellations.cancel_when_due(world, subscription, ends)
    schedule = schedules.of(world, subscription)
    if schedule is not None and schedule["current_phase"] is not None:
        over = schedule["current_phase"]["end_date"]
        yield over, 2, partial(schedules.change_phase, world, subscription, over)
        last = schedule["phases"][-1]["end_date"]
        if schedule.get("_expiring_for") != last:
            yield last - _EXPIRING_S, 6, lambda: _announce_expiry(world, schedule, last)
    paused = subscription["pause_collection"]
    if paused is not None and paused["resumes_at"] is not None:
        again = {"pause_collection": None}
        yield paused["resumes_at"], 1, lambda: world.update(subscription, again, standing.UPDATED)
    for identifier in subscription["discounts"]:
        over = world.get(discounts.DISCOUNT, identifier)["end"]
        if over is not None:
            yield over, 1, partial(discounts.drop, world, subscription, [identifier])


def _due_in_trial(world: World, subscription: Obj) -> Iterator[Due]:
    ends = subscription["trial_end"]
    if subscription["status"] != "trialing" or ends is None:
        return
    if subscription.get("_trial_will_end") != ends:
        yield ends - 3 * DAY, 5, lambda: subscriptions.announce_trial_end(world, subscription)
    yield ends, 3, lambda: cycle.end_trial(world, subscription, ends)


def _due_of_invoice(world: World, invoice: Obj) -> Iterator[Due]:
    if not invoice["auto_advance"]:
        return
    if invoice["status"] == "draft" and invoice["automatically_finalizes_at"] is not None:
        yield invoice["automatically_finalizes_at"], 7, lambda: _finalize(world, invoice)
    elif invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
        yield invoice["next_payment_attempt"], 8, lambda: collection.retry(world, invoice)


def _finalize(world: World, invoice: Obj) -> None:
    """Finalize a draft whose hour is over, and try it."""
    collection.finalize(world, invoice)
    if invoice["status"] == "open":
        collection.retry(world, invoice)


def _announce_renewal(world: World, subscription: Obj, at: int) -> None:
    world.update(subscription, {"_upcoming_for": at})
    invoice = previews.upcoming(world, subscription)
    if invoice is not None:
        world.emit("invoice.upcoming", invoice)


def _announce_expiry(world: World, schedule: Obj, last: int) -> None:
    world.update(schedule, {"_expiring_for": last})
    world.emit("subscription_schedule.expiring", schedule)
