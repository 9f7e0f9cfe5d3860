"""What random customers buy: prices and coupons of every kind, and instants at which calendars are awkward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from billing.discounts import Coupon, Duration
from billing.periods import Cycle, Interval
from billing.prices import MeteredBy, Price
from billing.rates import PriceKind, Rate, Tier
from metering.meters import Aggregation

CYCLES = {
    Interval.DAY: (1, 3, 7, 10, 30),
    Interval.WEEK: (1, 2, 4),
    Interval.MONTH: (1, 1, 1, 2, 3, 6),
    Interval.YEAR: (1, 2),
}
WEIGHED_INTERVALS = [Interval.MONTH] * 6 + [Interval.YEAR] * 2 + [Interval.WEEK, Interval.DAY]
CURRENCIES = ("usd", "eur", "gbp", "jpy", "krw", "sek", "inr", "isk", "kwd")
ODD_CURRENCIES = ("isk", "kwd")
"""Amounts due are rounded on: Stripe takes only multiples of 100 and 10 (docs.stripe.com/currencies)."""

CLOCK_CHANGES = (
    ("Europe/Berlin", "2027-03-28T02:30"),
    ("Europe/Berlin", "2027-10-31T02:30"),
    ("America/New_York", "2027-03-14T02:15"),
    ("America/New_York", "2027-11-07T01:15"),
    ("Australia/Lord_Howe", "2027-04-04T01:45"),
    ("Pacific/Chatham", "2027-09-26T03:15"),
    ("America/Santiago", "2027-09-05T00:30"),
)
ZONES = ("UTC", "Asia/Kolkata", "Pacific/Kiritimati", *dict(CLOCK_CHANGES))

METERED = (PriceKind.PER_UNIT, PriceKind.GRADUATED, PriceKind.VOLUME, PriceKind.PACKAGE)
LICENSED = (PriceKind.FLAT, PriceKind.PER_SEAT, *METERED)


def random_cycle(random: Random) -> Cycle:
    """Return any interval × count; mostly months."""
    interval = random.choice(WEIGHED_INTERVALS)
    return Cycle(interval, random.choice(CYCLES[interval]))


def random_start(random: Random) -> tuple[datetime, str]:
    """Return an instant at which a subscription begins, and what is special about it."""
    kind = random.choice(["month end", "month end", "leap day", "clock change", "any day"])
    seconds = timedelta(seconds=random.choice([0, 1, 3_599, 43_200, 86_399, random.randrange(86_400)]))
    if kind == "month end":
        day = random.choice(["2027-01-29", "2027-01-30", "2027-01-31", "2027-08-31", "2027-10-31", "2027-12-31"])
        return datetime.fromisoformat(day).replace(tzinfo=UTC) + seconds, kind
    if kind == "leap day":
        return datetime(2028, 2, 29, tzinfo=UTC) + seconds, kind
    if kind == "clock change":
        return random_clock_change(random), kind
    return datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=random.randrange(28)) + seconds, kind


def random_clock_change(random: Random) -> datetime:
    """Return a local time within an hour or so of a change of clocks, be it one that there is twice or not at all."""
    zone, local = random.choice(CLOCK_CHANGES)
    found = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=random.randrange(2))
    return (found.astimezone(UTC) + timedelta(minutes=random.randrange(-90, 90))).astimezone(ZoneInfo(zone))


def random_price(random: Random, slug: str, cycle: Cycle, currencies: tuple[str, ...], *, meter: str | None) -> Price:
    """Return a licensed price of any kind, or a metered one."""
    kind = random.choice(METERED if meter else LICENSED)
    bounded = kind in (PriceKind.PER_SEAT, PriceKind.PER_UNIT, PriceKind.GRADUATED)
    return Price(
        slug=slug,
        kind=kind,
        cycle=cycle,
        rates={currency: _rate(random, kind, bounded=bounded) for currency in currencies},
        metered=MeteredBy(meter, Aggregation.SUM) if meter else None,
        included_quantity=random.randrange(1, 60) if bounded and random.random() < 0.3 else 0,
        package_size=random.choice([2, 7, 100]) if kind is PriceKind.PACKAGE else None,
    )


def random_quantity(random: Random, price: Price) -> int:
    """Return a quantity to subscribe to."""
    return 1 if price.kind is PriceKind.FLAT else random.choice([1, 1, 2, 3, 7, 10, 25, 60, 150])


def random_usage(random: Random) -> int:
    """Return what may be used between two looks."""
    return random.choice([0, 1, 9, 10, 11, 50, 99, 100, 101, random.randrange(5_000)])


def random_coupon(random: Random, code: str, currencies: tuple[str, ...], plans: tuple[str, ...]) -> Coupon:
    """Return a percentage or an amount off; once, for some months, or for good; for all plans or for one."""
    duration = random.choice(list(Duration))
    terms = {
        "duration": duration,
        "months": random.choice([1, 2, 3, 12]) if duration is Duration.REPEATING else None,
        "plans": frozenset([random.choice(plans)]) if random.random() < 0.25 else frozenset(),
    }
    if random.random() < 0.5:
        percent = random.choice([Decimal(10), Decimal("33.33"), Decimal("12.5"), Decimal(50), Decimal(100)])
        return Coupon(code=code, percent_off=percent, **terms)
    amount = random.choice([1, 500, 999, 2_500, 100_000])
    return Coupon(code=code, amounts_off=dict.fromkeys(currencies, amount), **terms)


def _rate(random: Random, kind: PriceKind, *, bounded: bool) -> Rate:
    whole = kind in (PriceKind.FLAT, PriceKind.PER_SEAT)
    minimum = random.choice([1_000, 5_000]) if bounded and random.random() < 0.25 else None
    maximum = random.choice([20_000, 5_000]) if bounded and random.random() < 0.25 else None
    if kind not in (PriceKind.GRADUATED, PriceKind.VOLUME):
        return Rate(_unit_amount(random, whole=whole), minimum=minimum, maximum=maximum)
    bounds = sorted(random.sample([1, 5, 10, 50, 100, 1_000], random.randrange(4)))
    tiers = [
        Tier(up_to, _unit_amount(random, whole=False), random.choice([0, 0, 500, 1_999])) for up_to in [*bounds, None]
    ]
    return Rate(tiers=tuple(tiers), minimum=minimum, maximum=maximum)


def _unit_amount(random: Random, *, whole: bool) -> Decimal:
    if whole:
        return Decimal(random.choice([900, 1_000, 1_999, 2_900, 4_950, 33_333, random.randrange(100, 100_000)]))
    exact = ["0.0001", "0.015", "0.5", "1.5", "7.25", "33.333333333333", "99.999999999999", "1250", "0"]
    return Decimal(random.choice(exact))
