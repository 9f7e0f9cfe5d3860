"""Everything that the demo compares: fates, the ledger, and numbers from every door against the recount."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from devstack.demo.comparison import Comparison
from devstack.demo.found import Hours, QueryApi, hourly_numbers
from devstack.demo.meters import METERS
from devstack.demo.recount import Cut, Numbers, Recount
from devstack.demo.sending import Told
from devstack.demo.sendings import Tally
from metering.numbers import ZERO
from sinks.postgres.ledger import Ledger

TOKENS: Final = ("input_tokens", "output_tokens")
_CUTS: Final = (
    Cut(by="customer"),
    Cut(by="model"),
    Cut(window="HOUR"),
    Cut(by="customer", window="DAY", zone="Asia/Kolkata"),
    Cut(window="DAY", zone="Europe/Berlin"),
)


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of the records, as the journal and the dead letters of a run say."""

    records: int
    counted: int
    duplicates: int
    rejected: int
    forwarded: int
    dead_letters: Counter[tuple[str | None, str]]
    """By (meter or None, code)."""

    def dead_records(self) -> Counter[str]:
        """Return the dead letters that are whole records, by code."""
        return Counter({code: count for (meter, code), count in self.dead_letters.items() if meter is None})

    def skipped(self) -> Counter[tuple[str, str]]:
        """Return the dead letters that are one meter's, by (meter, code)."""
        return Counter({(m, code): count for (m, code), count in self.dead_letters.items() if m is not None})


def added(ledger: Ledger, before: Ledger) -> Counter[str]:
    """Return what a ledger has more than an earlier one."""
    totals: Counter[str] = Counter()
    for each, sign in ((ledger, 1), (before, -1)):
        for hour in each.hours:
            for name in ("records", "counted", "duplicates", "rejected", "forwarded"):
                totals[name] += sign * getattr(hour, name)
    return totals


def check_fates(comparison: Comparison, planned: Tally, told: Told, fates: Fates) -> None:
    """Compare how everything ended with the plan."""
    comparison.number("HTTP and Kafka", "accepted", planned.accepted, told.accepted)
    comparison.table("HTTP", "rejections by code", planned.refused, told.refused)
    comparison.number("Postgres", "counted", planned.counted, fates.counted)
    comparison.number("Postgres", "duplicates", planned.duplicates, fates.duplicates)
    comparison.number("Postgres", "forwarded", told.forwarded, fates.forwarded)
    comparison.number("Postgres", "dead letters", planned.dead_letters.total(), fates.rejected)
    comparison.table("Postgres", "dead letters by code", planned.dead_letters, fates.dead_records())
    comparison.table("Postgres", "dead letters by meter", planned.skipped, fates.skipped())


def check_ledger(comparison: Comparison, told: Told, fates: Fates, ledger: Ledger) -> None:
    """Compare the log with its fates: nothing is lost, and nothing came from nowhere."""
    comparison.number("ledger", "records in the log", told.accepted + told.forwarded, fates.records)
    sum_of_fates = fates.counted + fates.duplicates + fates.rejected + fates.forwarded
    comparison.number("ledger", "sum of their fates", fates.records, sum_of_fates)
    comparison.table("ledger", "differences", {}, {str(place): 1 for place in ledger.differences})


def check_hours(comparison: Comparison, recount: Recount, where: str, hours: Hours) -> None:
    """Compare a store's numbers of every meter, customer and hour."""
    cut = Cut(by="customer", window="HOUR")
    found = {meter.slug: hourly_numbers(hours, meter) for meter in METERS}
    for slug in TOKENS:
        comparison.number(where, slug, recount.total(slug), sum(found[slug].values(), ZERO))
    comparison.table(where, _describe(cut), _of_all_meters(_expected(recount, cut)), _of_all_meters(found))


async def check_queries(comparison: Comparison, recount: Recount, api: QueryApi) -> None:
    """Compare what the query API answers."""
    for meter in METERS:
        if meter.slug in TOKENS:
            found = await api.numbers(meter, Cut())
            comparison.number("query API", meter.slug, recount.total(meter.slug), sum(found.values(), ZERO))
    for cut in _CUTS:
        expected = _expected(recount, cut)
        answers = {meter.slug: await api.numbers(meter, cut) for meter in METERS if meter.slug in expected}
        comparison.table("query API", _describe(cut), _of_all_meters(expected), _of_all_meters(answers))


def _expected(recount: Recount, cut: Cut) -> dict[str, Numbers]:
    """Return the numbers of the meters that know the cut."""
    return {meter.slug: recount.numbers(meter, cut) for meter in METERS if cut.by != "model" or meter.grouped}


def _of_all_meters(numbers: Mapping[str, Numbers]) -> dict[tuple[object, ...], Decimal]:
    return {(slug, *cell): value for slug, cells in numbers.items() for cell, value in cells.items()}


def _describe(cut: Cut) -> str:
    by = "" if cut.by is None else f", {cut.by}"
    window = "" if cut.window is None else f", {cut.window.lower()} in {cut.zone}"
    return f"by meter{by}{window}"
