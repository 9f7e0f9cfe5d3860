"""The mirror of subscriptions: their history, who made it, their items and prices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.subscription_changes import FIELDS
from runtime.clock import utc_now
from sinks.postgres.access import Access
from sinks.postgres.leases import lease
from tests.integration.sinks.selling import Shop, plan_of, state_of, subscribe
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration

pytestmark = pytest.mark.integration


async def test_each_line_of_the_history_is_the_difference_of_two_applied_states(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await subscribe(shop, theirs, "monthly")
    states = [await state_of(shop, subscription["id"])]
    item: Any = subscription["items"]["data"][0]["id"]
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: shop.stripe.subscriptions.change_items("1", subscription["id"], [{"id": item, "quantity": 5}]),
        lambda: shop.stripe.subscriptions.change_items(
            "2", subscription["id"], [{"id": item, "price": shop.prices["team"], "quantity": 5}]
        ),
        lambda: shop.stripe.subscriptions.pause("3", subscription["id"]),
        lambda: shop.stripe.subscriptions.resume("4", subscription["id"]),
        lambda: shop.stripe.subscriptions.cancel_at_period_end("5", subscription["id"]),
        lambda: shop.stripe.subscriptions.reactivate("6", subscription["id"]),
        lambda: shop.stripe.subscriptions.cancel_now(subscription["id"]),
    ]
    for step in steps:
        await step()
        await shop.mirror.look("subscription", subscription["id"], actor="user ada", reason="because")
        states.append(await state_of(shop, subscription["id"]))
    lines = shop.rows("select * from subscription_changes order by id")
    assert [line["kind"] for line in lines] == [
        "created",
        "quantity_changed",
        "plan_changed",
        "paused",
        "resumed",
        "cancel_scheduled",
        "cancel_withdrawn",
        "canceled",
    ]
    assert [line["mrr_delta_minor"] for line in lines] == [1_000, 4_000, 10_000, -15_000, 15_000, 0, 0, -15_000]
    assert {(line["actor"], line["reason"]) for line in lines[1:]} == {("user ada", "because")}
    for before, after, line in zip(states[:-1], states[1:], lines[1:], strict=True):
        differing = {name for name in FIELDS if before[name] != after[name]}
        assert line["from"] == {name: before[name] for name in differing}
        assert line["to"] == {name: after[name] for name in differing}
    told = shop.rows("select payload from outbox where kind like 'subscription.%%' order by id")
    assert [each["payload"]["changes"][0]["kind"] for each in told] == [line["kind"] for line in lines]


async def test_stripes_event_that_is_quicker_than_the_request_names_who_asked_for_the_change(shop: Shop) -> None:
    """The worker looks without an actor; who changes a subscription holds it, and who begins one holds the customer."""
    ours, theirs = await shop.customer()
    price: Any = [{"price": shop.prices["monthly"]}]
    async with lease(shop.postgres, Access(), "customer", ours, "key ms_1…", reason="Asked by phone"):
        subscription = await shop.stripe.subscriptions.create("begin", customer=theirs, items=price)
        assert await shop.mirror.look("subscription", subscription["id"])
    held = str(shop.row("subscriptions", subscription["id"])["id"])
    async with lease(shop.postgres, Access(), "subscription", held, "user ada lovelace"):
        await shop.stripe.subscriptions.cancel_at_period_end("1", subscription["id"])
        await shop.mirror.look("subscription", subscription["id"])
        # What is said to be Stripe's own is nobody else's.
        await shop.stripe.subscriptions.pause("2", subscription["id"])
        await shop.mirror.look("subscription", subscription["id"], actor="stripe")
    async with lease(shop.postgres, Access(), "subscription", held, "key ms_2…", lease_s=-1):
        await shop.stripe.subscriptions.resume("3", subscription["id"])
        await shop.mirror.look("subscription", subscription["id"])
    lines = shop.rows("select kind, actor, reason from subscription_changes order by id")
    assert [(line["kind"], line["actor"], line["reason"]) for line in lines] == [
        ("created", "key ms_1…", "Asked by phone"),
        ("cancel_scheduled", "user ada lovelace", None),
        ("paused", "stripe", None),
        ("resumed", "stripe", None),
    ]
    told = shop.rows("select payload from outbox where kind like 'subscription.%%' order by id")
    assert [each["payload"]["changes"][0]["actor"] for each in told] == [line["actor"] for line in lines]


async def test_a_look_that_finds_nothing_new_writes_no_history_and_yet_moves_the_version(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await subscribe(shop, theirs, "monthly")
    await shop.mirror.look("invoice", subscription["latest_invoice"])
    before = shop.rows("select (select count(*) from subscription_changes) c, (select count(*) from outbox) o")
    version = shop.row("subscriptions", subscription["id"])["version"]
    for _ in range(3):
        await shop.mirror.look("subscription", subscription["id"])
        await shop.mirror.look("invoice", subscription["latest_invoice"])
    after = shop.rows("select (select count(*) from subscription_changes) c, (select count(*) from outbox) o")
    assert after == before
    assert shop.row("subscriptions", subscription["id"])["version"] == version + 3


async def test_a_change_that_nobody_is_shown_is_not_told(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await subscribe(shop, theirs, "monthly")
    await shop.stripe.subscriptions.update("1", subscription["id"], metadata={"meterstream_request": "again"})
    assert await shop.mirror.look("subscription", subscription["id"])
    assert shop.row("subscriptions", subscription["id"])["stripe_object"]["metadata"] == {
        "meterstream_request": "again"
    }
    assert [each["kind"] for each in shop.rows("select kind from outbox")] == ["subscription.created"]


async def test_a_subscription_that_stripe_knows_no_more_ended_when_that_was_first_seen(
    shop: Shop, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    with simulator.client() as client:
        clock = client.post("/v1/test_helpers/test_clocks", data={"frozen_time": int(utc_now().timestamp())}).json()
        client.post("/_simulator/clock", json={"customer": theirs, "clock": clock["id"]}).raise_for_status()
        made = await subscribe(shop, theirs, "monthly")
        client.delete(f"/v1/test_helpers/test_clocks/{clock['id']}").raise_for_status()
    first = utc_now().replace(microsecond=0)
    for seen_at in (first, first + timedelta(hours=1)):
        assert await shop.mirror.look("subscription", made["id"], at=seen_at)
        row = shop.row("subscriptions", made["id"])
        assert (row["status"], row["ended_at"], row["mrr_minor"]) == ("canceled", first, 0)
    assert [line["kind"] for line in shop.rows("select kind from subscription_changes order by id")] == [
        "created",
        "canceled",
    ]


async def test_a_change_scheduled_for_the_next_period_shows(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await subscribe(shop, theirs, "team")
    schedule = await shop.stripe.subscription_schedules.create_from("1", subscription["id"])
    phase = schedule["phases"][0]
    phases: Any = [
        {"items": [{"price": shop.prices["team"], "quantity": 1}], "start_date": phase["start_date"],
         "end_date": phase["end_date"]},
        {"items": [{"price": shop.prices["monthly"], "quantity": 1}], "duration": {"interval": "month"}},
    ]  # fmt: skip
    await shop.stripe.subscription_schedules.update("2", schedule["id"], phases=phases, end_behavior="release")
    assert await shop.mirror.look("subscription_schedule", schedule["id"])
    row = shop.row("subscriptions", subscription["id"])
    assert row["stripe_schedule_id"] == schedule["id"]
    await shop.stripe.subscription_schedules.release("3", schedule["id"])
    assert await shop.mirror.look("subscription_schedule", schedule["id"])
    kinds = [line["kind"] for line in shop.rows("select kind from subscription_changes order by id")]
    assert kinds == ["created", "change_scheduled", "change_withdrawn"]


async def test_a_price_that_is_changed_at_stripe_is_a_line_of_who_pays_it(shop: Shop) -> None:
    _, dollars = await shop.customer()
    _, euros = await shop.customer()
    items: Any = [{"price": shop.prices["monthly"], "quantity": 2}]
    made = [
        await shop.stripe.subscriptions.create(f"s{n}", customer=customer, items=items, currency=currency)
        for n, (customer, currency) in enumerate([(dollars, "usd"), (euros, "eur")])
    ]
    for each in made:
        assert await shop.mirror.look("subscription", each["id"])
    options: Any = {"eur": {"unit_amount": 950}}
    await shop.stripe.prices.update("dearer", shop.prices["monthly"], currency_options=options)
    for _ in range(2):
        assert await shop.mirror.look("price", shop.prices["monthly"])
    assert [shop.row("subscriptions", each["id"])["mrr_minor"] for each in made] == [2_000, 1_900]
    lines = shop.rows("select kind, mrr_delta_minor, \"to\" from subscription_changes where kind <> 'created'")
    assert lines == [{"kind": "price_changed", "mrr_delta_minor": 100, "to": {}}]
    told = shop.rows("select payload from outbox where kind = 'subscription.updated'")
    assert [(each["payload"]["mrr_minor"], each["payload"]["changes"][0]["kind"]) for each in told] == [
        (1_900, "price_changed")
    ]


async def test_a_subscription_has_all_its_items_however_many_there_are(shop: Shop) -> None:
    """Stripe shows ten with the subscription; the plan's price is the last of all."""
    _, theirs = await shop.customer()
    others = [
        await shop.stripe.prices.create(
            f"extra:{number}",
            product_data={"name": f"Extra {number}"},
            currency="usd",
            unit_amount=100 + number,
            recurring={"interval": "month"},
        )
        for number in range(11)
    ]
    items: Any = [{"price": each["id"]} for each in others]
    items.append({"price": shop.prices["monthly"], "quantity": 3})
    made = await shop.stripe.subscriptions.create("many", customer=theirs, items=items)
    assert (len(made["items"]["data"]), made["items"]["has_more"]) == (10, True)
    assert await shop.mirror.look("subscription", made["id"])
    row = shop.row("subscriptions", made["id"])
    assert (row["mrr_minor"], row["quantity"]) == (11 * 100 + 55 + 3 * 1_000, 3)
    assert plan_of(shop, row) == {"slug": "pro", "version": 1}
    kept = row["stripe_object"]["items"]
    assert ({item["price"]["id"]: item["quantity"] for item in kept["data"]}, kept["has_more"]) == (
        {each["price"]: each.get("quantity", 1) for each in items},
        False,
    )
    last = next(item for item in kept["data"] if item["price"]["id"] == shop.prices["monthly"])
    change: Any = {"id": last["id"], "price": shop.prices["team"], "quantity": 3}
    await shop.stripe.subscriptions.change_items("1", made["id"], [change])
    assert await shop.mirror.look("subscription", made["id"])
    row = shop.row("subscriptions", made["id"])
    assert plan_of(shop, row) == {"slug": "pro", "version": 2}
    line = shop.rows("select kind, mrr_delta_minor from subscription_changes order by id desc limit 1")
    assert line == [{"kind": "plan_changed", "mrr_delta_minor": 3 * 2_000}]
