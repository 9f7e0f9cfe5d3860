"""Subscriptions, their history, invoices and leases in a real Postgres, read as the API's role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from billing.periods import Cycle, Interval
from runtime.errors import ConflictError, NotFoundError, Unavailable
from runtime.settings import PostgresSettings
from sinks.postgres.access import API_ROLE, Access, PostgresAccess
from sinks.postgres.invoices import InvoiceFilters, find_invoice, list_invoices, list_lines
from sinks.postgres.leases import lease
from sinks.postgres.listing import Listing
from sinks.postgres.subscriptions import (
    ChangeFilters,
    SubscriptionFilters,
    find_subscription,
    find_subscription_at_stripe,
    list_changes,
    list_items,
    list_subscriptions,
    plans_of_prices,
)
from tests.integration.sinks.postgres.selling import SellingRows

pytestmark = pytest.mark.integration


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresAccess]:
    """The API's pool."""
    settings = PostgresSettings(url=SecretStr(postgres_url), pool_min=1, pool_max=4)
    access = PostgresAccess(settings, service="test", role=API_ROLE)
    await access.open()
    yield access
    await access.close()


@dataclass(frozen=True)
class _Acme:
    id: str
    plan: str
    customer: str
    subscription: str

    @property
    def access(self) -> Access:
        return Access(organization_id=self.id)


@pytest.fixture
def rows(postgres_url: str) -> SellingRows:
    """Writes what is read."""
    return SellingRows(postgres_url)


@pytest.fixture
def acme(rows: SellingRows) -> _Acme:
    """An organization that sold something to the user Ada."""
    organization = rows.organization("acme")
    plan = rows.plan(organization, "team", {"seats": "price_seats", "calls": "price_calls"})
    customer = rows.customer(organization, "ada")
    items = [
        {"id": "si_1", "quantity": 3, "price": {"id": "price_seats", "recurring": _monthly("licensed")}},
        {"id": "si_2", "price": {"id": "price_calls", "recurring": _monthly("metered")}},
    ]
    subscription = rows.subscription(
        organization,
        customer,
        plan,
        items={"data": items},
        metadata={"meterstream_request": "mark"},
        latest_invoice="in_1",
        schedule=None,
    )
    return _Acme(organization, plan, customer, subscription)


def _monthly(usage_type: str) -> dict[str, object]:
    return {"usage_type": usage_type, "interval": "month", "interval_count": 1}


async def test_a_subscription_is_read_with_its_plan_and_what_it_pays_for(
    postgres: PostgresAccess, acme: _Acme, rows: SellingRows
) -> None:
    async with postgres.acting(acme.access) as connection:
        row = await find_subscription(connection, acme.subscription)
        assert await find_subscription_at_stripe(connection, row.stripe_subscription_id) == row
        items = await list_items(connection, row.id)
    assert (row.plan_slug, row.plan_version, row.request_mark, row.latest_invoice) == ("team", 1, "mark", "in_1")
    assert [(item.id, item.price, item.quantity, item.licensed) for item in items] == [
        ("si_1", "price_seats", 3, True),
        ("si_2", "price_calls", None, False),
    ]
    assert {item.cycle for item in items} == {Cycle(Interval.MONTH)}
    newer = rows.plan(acme.id, "team", {"seats": "price_seats"}, version=2)
    async with postgres.acting(acme.access) as connection:
        found = await plans_of_prices(connection, ["price_seats"], organization_id=acme.id)
        assert [plan.id for plan in found] == [newer, acme.plan]
        assert await plans_of_prices(connection, ["price_none"], organization_id=acme.id) == []


async def test_what_is_anothers_is_not_found(postgres: PostgresAccess, acme: _Acme, rows: SellingRows) -> None:
    invoice = rows.invoice(acme.id, acme.customer, acme.subscription)
    rows.change(acme.id, acme.customer, acme.subscription, "created")
    others = [
        Access(organization_id=rows.organization("globex")),
        Access(user_id="eve"),
        Access(),
        Access(operator=True),
    ]
    for access in [acme.access, Access(user_id="ada")]:
        async with postgres.acting(access) as connection:
            assert (await find_subscription(connection, acme.subscription)).plan_slug == "team"
            assert (await find_invoice(connection, invoice)).total_minor == 900
            assert [line.amount_minor for line in await list_lines(connection, invoice)] == [400, 500]
            assert [line.amount_minor for line in await list_lines(connection, invoice, after=0)] == [500]
            assert len(await list_changes(connection, acme.subscription)) == 1
    for access in others:
        async with postgres.acting(access) as connection:
            with pytest.raises(NotFoundError) as missing:
                await find_subscription(connection, acme.subscription)
            assert missing.value.code == "SUBSCRIPTION_NOT_FOUND"
            with pytest.raises(NotFoundError) as missing:
                await find_invoice(connection, invoice)
            assert missing.value.code == "INVOICE_NOT_FOUND"
            assert await list_subscriptions(connection, SubscriptionFilters()) == []
            assert await list_invoices(connection, InvoiceFilters()) == []
            assert await list_lines(connection, invoice) == []
            assert await list_changes(connection, acme.subscription) == []


async def test_lists_are_filtered_and_go_on_from_either_end(
    postgres: PostgresAccess, acme: _Acme, rows: SellingRows
) -> None:
    other = rows.customer(acme.id, "bob")
    solo = rows.plan(acme.id, "solo", {"base": "price_base"})
    made = [acme.subscription]
    # Two of the same instant: then the id decides.
    made += [rows.subscription(acme.id, other, solo, days=1, status=status) for status in ("canceled", "past_due")]
    made.append(rows.subscription(acme.id, other, acme.plan, days=2))
    async with postgres.acting(acme.access) as connection:
        everything = await list_subscriptions(connection, SubscriptionFilters(organization_id=acme.id))
        assert {row.id for row in everything} == set(made)
        ends = {"newest": everything, "oldest": everything[::-1]}
        for order in ("newest", "oldest"):
            assert await list_subscriptions(connection, SubscriptionFilters(), Listing(order=order)) == ends[order]
            walked, after = [], None
            while page := await list_subscriptions(
                connection, SubscriptionFilters(), Listing(order=order, after=after, limit=1)
            ):
                walked += page
                after = (page[-1].created_at, page[-1].id)
            assert walked == ends[order]
        filtered = [
            (SubscriptionFilters(status=["past_due", "canceled"]), set(made[1:3])),
            (SubscriptionFilters(customers=[acme.customer]), {made[0]}),
            (SubscriptionFilters(customers=[]), set()),
            (SubscriptionFilters(plan_slug="team"), {made[0], made[3]}),
            (SubscriptionFilters(plan_id=solo), set(made[1:3])),
        ]
        for filters, expected in filtered:
            assert {row.id for row in await list_subscriptions(connection, filters)} == expected
        history = [rows.change(acme.id, other, made[3], kind) for kind in ("created", "paused", "resumed")]
        newest = await list_changes(connection, made[3], limit=2)
        assert [line.kind for line in newest] == ["resumed", "paused"]
        assert [line.kind for line in await list_changes(connection, made[3], after=int(history[1]))] == ["created"]
        oldest = await list_changes(connection, made[3], order="oldest", after=int(history[0]))
        assert oldest == newest[::-1]
        paused = await list_changes(connection, made[3], ChangeFilters(kinds=["paused"]))
        assert paused == [newest[1]]
        at = newest[0].recorded_at
        assert await list_changes(connection, made[3], ChangeFilters(since=at, until=at)) == []
        assert newest[0] in await list_changes(connection, made[3], ChangeFilters(since=at))


async def test_invoices_are_filtered_and_go_on(postgres: PostgresAccess, acme: _Acme, rows: SellingRows) -> None:
    made = [rows.invoice(acme.id, acme.customer, acme.subscription, days=days) for days in (0, 1, 1)]
    opened = rows.invoice(acme.id, acme.customer, acme.subscription, days=2, status="open")
    gone = rows.invoice(acme.id, acme.customer, acme.subscription, status="draft")
    rows.value("update invoices set deleted_at = now() where id = %s returning 1", gone)
    async with postgres.acting(acme.access) as connection:
        everything = await list_invoices(connection, InvoiceFilters())
        assert {row.id for row in everything} == {*made, opened}
        assert everything[0].id == opened
        walked, after = [], None
        while page := await list_invoices(connection, InvoiceFilters(), Listing(after=after, limit=1)):
            walked += page
            after = (page[-1].created_at, page[-1].id)
        assert walked == everything
        walked, after = [], None
        while page := await list_invoices(connection, InvoiceFilters(), Listing(order="oldest", after=after, limit=1)):
            walked += page
            after = (page[-1].created_at, page[-1].id)
        assert walked == everything[::-1]
        newest, second = everything[0].created_at, everything[1].created_at
        assert await list_invoices(connection, InvoiceFilters(), Listing(since=newest)) == everything[:1]
        assert await list_invoices(connection, InvoiceFilters(), Listing(until=newest)) == everything[1:]
        between = Listing(since=second, until=newest, order="oldest")
        assert await list_invoices(connection, InvoiceFilters(), between) == everything[1:3][::-1]
        assert [row.id for row in await list_invoices(connection, InvoiceFilters(status=["open"]))] == [opened]
        assert len(await list_invoices(connection, InvoiceFilters(subscription_id=acme.subscription))) == 4
        assert await list_invoices(connection, InvoiceFilters(subscription_id=acme.id)) == []
        assert await list_invoices(connection, InvoiceFilters(customers=[])) == []
        with pytest.raises(NotFoundError):
            await find_invoice(connection, gone)


async def test_one_request_at_a_time_holds_a_subscription(
    postgres: PostgresAccess, acme: _Acme, rows: SellingRows
) -> None:
    async with lease(postgres, acme.access, "subscription", acme.subscription, "key ms_1…"):
        with pytest.raises(ConflictError) as busy:
            async with lease(postgres, acme.access, "subscription", acme.subscription, "key ms_1…"):
                pytest.fail("two hold it")
        assert busy.value.code == "SUBSCRIPTION_BUSY"
        # Another thing is nobody's.
        async with lease(postgres, acme.access, "customer", acme.customer, "key ms_1…"):
            pass
    with pytest.raises(RuntimeError, match="broken"):
        async with lease(postgres, acme.access, "subscription", acme.subscription, "key ms_1…"):
            raise RuntimeError("broken")
    assert rows.value("select changing_by from subscriptions where id = %s", acme.subscription) is None


async def test_a_lease_that_lapsed_is_anothers_and_giving_it_back_takes_nothing(
    postgres: PostgresAccess, acme: _Acme, rows: SellingRows
) -> None:
    holder = "select changing_by from subscriptions where id = %s"
    lapsed = lease(postgres, acme.access, "subscription", acme.subscription, "first", lease_s=-1)
    await lapsed.__aenter__()
    async with lease(postgres, acme.access, "subscription", acme.subscription, "second"):
        await lapsed.__aexit__(None, None, None)
        assert rows.value(holder, acme.subscription).startswith("second ")
    assert rows.value(holder, acme.subscription) is None


async def test_a_holder_stops_before_its_lease_lapses(postgres: PostgresAccess, acme: _Acme) -> None:
    with pytest.raises(Unavailable):
        async with lease(postgres, acme.access, "subscription", acme.subscription, "slow", usable_s=0.01):
            await asyncio.sleep(60)
    async with lease(postgres, acme.access, "subscription", acme.subscription, "next"):
        pass
