"""The demo from end to end: a fresh organization, its meters, everything sent, everything recounted and compared."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from devstack.demo import checks
from devstack.demo.checks import Fates
from devstack.demo.comparison import Comparison
from devstack.demo.found import Hours, hourly_numbers, query_api
from devstack.demo.invoice import check_invoice
from devstack.demo.meters import METERS
from devstack.demo.plan import Plan, make_plan
from devstack.demo.recount import Recount
from devstack.demo.selling import Sold, sell
from devstack.demo.sending import Sender, Told
from devstack.demo.sendings import Tally
from devstack.demo.trace import shifted_trace
from devstack.demo.waiting import Workers
from metering.numbers import ZERO
from metering.topics import USAGE_EVENTS
from runtime.clock import utc_now
from runtime.settings import Settings
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.recounts import count_events, read_rollup_hours, read_value_hours
from sinks.http_api.client import ApiClient
from sinks.kafka.log_ends import LogEnds
from sinks.kafka.topics import topic_name
from sinks.postgres.access import open_postgres
from sinks.postgres.api_keys import create_key, revoke_key
from sinks.postgres.catalogue_changes import LogShape
from sinks.postgres.ledger import Ledger, read_ledger
from sinks.postgres.meters import list_meters
from sinks.postgres.organizations import OrganizationRow, create_organization
from sinks.postgres.pool import connect as connect_postgres
from sinks.postgres.recounts import count_dead_letters, read_hours

Say = Callable[[str], None]
"""Tells people how far it is."""
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What came out; `as_json` is the demo's last line."""

    organization: str
    planned: Tally
    told: Told
    fates: Fates
    stored: int
    comparison: Comparison
    tokens: dict[str, int | str]
    invoice_cents: int | None
    """None without the Stripe simulator."""
    sold: Sold | None
    """None without the Stripe simulator."""
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        dead = self.fates.dead_records()
        return {
            "sent": self.planned.sent,
            "accepted": self.told.accepted,
            "rejected": self.told.refused.total(),
            "dead_letters": self.fates.rejected,
            "meter_dead_letters": self.fates.skipped().total(),
            "duplicates": self.fates.duplicates,
            "conflicts": dead["CONFLICT"],
            "forwarded": self.fates.forwarded,
            "counted_postgres": self.fates.counted,
            "counted_clickhouse": self.stored,
            **self.tokens,
            "invoice_cents": self.invoice_cents,
            "subscriptions_match_stripe": self.sold and self.sold.subscriptions_match,
            "invoices_match_stripe": self.sold and self.sold.invoices_match,
            "checks": len(self.comparison.checks),
            "organization": self.organization,
            "equal": self.comparison.equal,
            "seconds": round(self.seconds, 1),
        }


async def run_demo(settings: Settings, api_url: str, say: Say, *, simulated_stripe: bool) -> DemoReport:
    """Run it on a stack that is up. Raises: Unavailable when the workers do not get done, ApiRefusal."""
    topic = topic_name(settings.kafka, USAGE_EVENTS)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(open_postgres(settings.postgres, service="demo"))
        log_ends = LogEnds(settings.kafka, topic, timeout_s=10)
        stack.push_async_callback(log_ends.close)
        shape = LogShape(topic, settings.kafka.partitions)
        organization, key = await stack.enter_async_context(_tenant(connection, shape))
        demo = _Demo(
            settings=settings,
            topic=topic,
            connection=connection,
            workers=Workers(connection, topic, log_ends, timeout_s=_PATIENCE_S),
            organization=organization,
            api=await stack.enter_async_context(ApiClient(api_url, key)),
            say=say,
            simulated_stripe=simulated_stripe,
        )
        return await demo.run(utc_now())


@dataclass(frozen=True, slots=True)
class _Demo:
    """One run, for one organization."""

    settings: Settings
    topic: str
    connection: AsyncConnection
    workers: Workers
    organization: OrganizationRow
    api: ApiClient
    say: Say
    simulated_stripe: bool

    async def run(self, now: datetime) -> DemoReport:
        """Send, wait, compare."""
        began = time.monotonic()
        requests = shifted_trace(now)
        plan = make_plan(requests, organization=self.organization.slug, now=now)
        since = await self.workers.until_metered()
        before = await self._ledger()
        for meter in METERS:
            await self.api.post("/meters", meter.request())
        told = await self._send(plan)
        await self.workers.until_loaded()
        self.say("Everything counted is in ClickHouse")

        comparison, recount = Comparison(), Recount(requests, plan.counted_extras)
        ledger = await self._ledger()
        with connect_postgres(self.settings.postgres, service="demo") as connection:
            hours = read_hours(connection, self.organization.id)
            dead_letters = count_dead_letters(connection, self.topic, self.organization.id, since=since)
        fates = Fates(**checks.added(ledger, before), dead_letters=dead_letters)
        checks.check_fates(comparison, plan.tally, told, fates)
        checks.check_ledger(comparison, told, fates, ledger)
        checks.check_hours(comparison, recount, "Postgres", hours)
        rows = await list_meters(self.connection, organization_id=self.organization.id)
        stored = self._check_clickhouse(comparison, recount, {row.id: row.slug for row in rows})
        comparison.number("ClickHouse", "events stored", plan.tally.counted, stored[0])
        comparison.number("ClickHouse", "of them distinct", plan.tally.counted, stored[1])
        await checks.check_queries(comparison, recount, query_api(self.api, now))
        invoice_cents = await self._bill(comparison, hours)
        sold = await self._sell(comparison)
        return DemoReport(
            organization=self.organization.slug,
            planned=plan.tally,
            told=told,
            fates=fates,
            stored=stored[0],
            comparison=comparison,
            tokens=_tokens(hours, recount),
            invoice_cents=invoice_cents,
            sold=sold,
            seconds=time.monotonic() - began,
        )

    async def _bill(self, comparison: Comparison, hours: Hours) -> int | None:
        """Let the simulator bill what the keenest customer used, compare the invoice with ours; return its total."""
        if not self.simulated_stripe:
            self.say("Stripe itself is set: nothing is sold there for a demo")
            return None
        used: Counter[str] = Counter()
        meter = next(meter for meter in METERS if meter.slug == "output_tokens")
        for cell, tokens in hourly_numbers(hours, meter).items():
            used[cell.name] += int(tokens)
        customer, usage = used.most_common(1)[0]
        self.say(f"The Stripe simulator bills {usage:,} output tokens of {customer} over a month of simulated time")
        return await check_invoice(comparison, self.settings.stripe, owner=self.organization.slug, usage=usage)

    async def _sell(self, comparison: Comparison) -> Sold | None:
        """Sell a subscription over the API, and let Stripe's events bring it back."""
        if not self.simulated_stripe:
            return None
        self.say("A customer signs up, pays, upgrades, fails to pay, recovers and leaves; Stripe's events come back")
        return await sell(comparison, self.api, self.settings.stripe, self.say)

    async def _ledger(self) -> Ledger:
        whole_log = self.settings.kafka.retention_ms < 0
        return await read_ledger(self.connection, self.topic, whole_log=whole_log)

    async def _send(self, plan: Plan) -> Told:
        """Send everything and return when all of it is metered."""
        self.say(
            f"Organization {self.organization.slug}, {len(METERS)} meters: sending {plan.tally.sent:,} events over "
            "HTTP and through two Kafka clients"
        )
        sender = Sender(self.settings.kafka, self.topic, self.api)
        await sender.send(plan.mixed)
        await self.workers.until_metered()
        await sender.send(plan.conflicts)
        await self.workers.until_metered()
        self.say("Every record is metered")
        return sender.told

    def _check_clickhouse(self, comparison: Comparison, recount: Recount, slugs: dict[str, str]) -> tuple[int, int]:
        """Compare ClickHouse's tables of values; return how many events it stores, and how many identities."""
        client = connect_clickhouse(self.settings.clickhouse, service="demo")
        try:
            values = read_value_hours(client, self.organization.id, slugs)
            rollup = read_rollup_hours(client, self.organization.id, slugs)
            stored = count_events(client, self.organization.id)
        finally:
            client.close()
        checks.check_hours(comparison, recount, "ClickHouse values", values)
        checks.check_hours(comparison, recount, "ClickHouse rollup", rollup)
        return stored


@asynccontextmanager
async def _tenant(connection: AsyncConnection, shape: LogShape) -> AsyncIterator[tuple[OrganizationRow, str]]:
    """Give a new organization, and a key that is revoked afterwards."""
    slug = f"demo-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    organization = await create_organization(connection, slug=slug, name="Demo", shape=shape)
    key, secret = await create_key(connection, organization_id=organization.id, name="demo", scopes=["admin"])
    try:
        yield organization, secret
    finally:
        await revoke_key(connection, key.id)


def _tokens(hours: Hours, recount: Recount) -> dict[str, int | str]:
    tokens: dict[str, int | str] = {}
    for meter in METERS:
        if meter.slug in checks.TOKENS:
            found = sum(hourly_numbers(hours, meter).values(), ZERO)
            # A fraction would be wrong, and is shown as it is.
            tokens[meter.slug] = int(found) if found == int(found) else str(found)
            tokens[f"expected_{meter.slug}"] = recount.total(meter.slug)
    return tokens
