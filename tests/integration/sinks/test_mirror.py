"""The mirror between a simulator and Postgres: what Stripe says is what we have, whoever looks when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.stripe_objects import read_subscription
from billing.subscription_changes import FIELDS, state
from runtime.clock import utc_now
from sinks.mirror import Mirror
from sinks.postgres.access import Access
from sinks.postgres.leases import lease
from tests.integration.sinks.selling import Shop, open_shop
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration


@pytest.fixture
async def shop(postgres_url: str, simulator: CheckedSimulator) -> AsyncIterator[Shop]:
    """A shop of this test alone."""
    async with open_shop(postgres_url, simulator.settings) as opened:
        yield opened


async def test_a_customer_is_known_by_its_metadata_and_follows_stripe(shop: Shop) -> None:
    ours, theirs = await shop.customer("Ada")
    assert await shop.mirror.look("customer", theirs)
    row = shop.row("customers", theirs)
    assert (str(row["id"]), row["name"], row["deleted_at"]) == (ours, "Ada", None)
    await shop.stripe.customers.update("rename", theirs, name="Ada L.", email="ada@example.com")
    await shop.mirror.look("customer", theirs)
    row = shop.row("customers", theirs)
    assert (row["name"], row["email"]) == ("Ada L.", "ada@example.com")
    await shop.stripe.customers.delete(theirs)
    await shop.mirror.look("customer", theirs)
    row = shop.row("customers", theirs)
    assert row["deleted_at"] is not None
    assert row["name"] == "Ada L."


async def test_tax_ids_follow_stripe_however_many_there_are(shop: Shop) -> None:
    _, theirs = await shop.customer()
    values = [f"DE{number:09}" for number in range(12)]
    made = [await shop.stripe.tax_ids.create(value, theirs, type="eu_vat", value=value) for value in values]
    await shop.mirror.look("customer", theirs)
    row = shop.row("customers", theirs)
    assert row["tax_ids"] == [{"type": "eu_vat", "value": value, "verification": "pending"} for value in values]
    for each in made[1:]:
        await shop.stripe.tax_ids.delete(theirs, each["id"])
    await shop.stripe.tax_ids.create("verified", theirs, type="gb_vat", value="000000000")
    await shop.mirror.look("customer", theirs)
    kept = [(each["value"], each["verification"]) for each in shop.row("customers", theirs)["tax_ids"]]
    assert kept == [(values[0], "pending"), ("000000000", "verified")]
    await shop.stripe.customers.delete(theirs)
    await shop.mirror.look("customer", theirs)
    assert len(shop.row("customers", theirs)["tax_ids"]) == 2


async def test_what_is_not_ours_is_left_alone(shop: Shop) -> None:
    claims = {"meterstream_organization": shop.organization_id, "meterstream_customer": "no id of ours"}
    stranger = await shop.stripe.customers.create("stranger", name="Eve", metadata=claims)
    method = await shop.stripe.payment_methods.attach("card", "pm_card_visa", stranger["id"])
    await shop.stripe.payment_methods.set_default("default", method["id"], stranger["id"])
    price: Any = [{"price": shop.prices["monthly"]}]
    subscription = await shop.stripe.subscriptions.create("s", customer=stranger["id"], items=price)
    assert not await shop.mirror.look("customer", stranger["id"])
    assert not await shop.mirror.look("subscription", subscription["id"])
    assert not await shop.mirror.look("invoice", subscription["latest_invoice"])
    assert not await shop.mirror.look("payment_method", method["id"])
    assert not await shop.mirror.look("subscription", "sub_none")
    for table in ("subscriptions", "invoices", "payment_methods", "outbox"):
        assert shop.rows(f"select 1 from {table}") == []


async def test_payment_methods_come_become_the_default_and_go(shop: Shop) -> None:
    _, theirs = await shop.customer(card=None)
    first = await shop.stripe.payment_methods.attach("a", "pm_card_visa", theirs)
    second = await shop.stripe.payment_methods.attach("b", "pm_card_mastercard", theirs)
    await shop.stripe.payment_methods.set_default("c", second["id"], theirs)
    for method in (first, second):
        assert await shop.mirror.look("payment_method", method["id"])
    await shop.mirror.look("customer", theirs)
    row = shop.row("payment_methods", second["id"])
    assert (row["brand"], row["last4"], row["is_default"]) == ("mastercard", "4444", True)
    assert not shop.row("payment_methods", first["id"])["is_default"]
    await shop.stripe.payment_methods.set_default("d", first["id"], theirs)
    await shop.mirror.look("customer", theirs)
    assert shop.row("payment_methods", first["id"])["is_default"]
    assert not shop.row("payment_methods", second["id"])["is_default"]
    await shop.stripe.payment_methods.detach("e", second["id"])
    await shop.mirror.look("payment_method", second["id"])
    assert shop.row("payment_methods", second["id"])["detached_at"] is not None


async def test_an_invoice_brings_what_it_hangs_from(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await _subscribe(shop, theirs, "monthly", quantity=3)
    assert await shop.mirror.look("invoice", subscription["latest_invoice"])
    invoice = shop.row("invoices", subscription["latest_invoice"])
    assert (invoice["status"], invoice["total_minor"], invoice["amount_paid_minor"]) == ("paid", 3_000, 3_000)
    (line,) = shop.rows("select * from invoice_lines")
    assert (line["amount_minor"], line["quantity"], line["proration"]) == (3_000, 3, False)
    row = shop.row("subscriptions", subscription["id"])
    assert invoice["subscription_id"] == row["id"]
    assert (row["status"], row["quantity"], row["mrr_minor"], row["billing_cycle"]) == ("active", 3, 3_000, "month")
    (plan,) = shop.rows("select slug, version from pricing_plans where id = %s", [row["plan_id"]])
    assert plan == {"slug": "pro", "version": 1}


async def test_each_line_of_the_history_is_the_difference_of_two_applied_states(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await _subscribe(shop, theirs, "monthly")
    states = [await _state(shop, subscription["id"])]
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
        states.append(await _state(shop, subscription["id"]))
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
    subscription = await _subscribe(shop, theirs, "monthly")
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
    subscription = await _subscribe(shop, theirs, "monthly")
    await shop.stripe.subscriptions.update("1", subscription["id"], metadata={"meterstream_request": "again"})
    assert await shop.mirror.look("subscription", subscription["id"])
    assert shop.row("subscriptions", subscription["id"])["stripe_object"]["metadata"] == {
        "meterstream_request": "again"
    }
    assert [each["kind"] for each in shop.rows("select kind from outbox")] == ["subscription.created"]


async def test_a_state_fetched_before_another_is_never_applied_after_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, theirs = await shop.customer()
    subscription = await _subscribe(shop, theirs, "monthly")
    slow = Mirror(shop.postgres, shop.stripe)
    fetched, go_on = asyncio.Event(), asyncio.Event()
    get = shop.stripe.subscriptions.get

    async def get_slowly(*arguments: Any, **options: Any) -> Any:
        obj = await get(*arguments, **options)
        if not fetched.is_set():
            fetched.set()
            await go_on.wait()
        return obj

    # There and back: what the slow one holds differs, what the fast one finds is what we have already.
    await shop.stripe.subscriptions.cancel_at_period_end("1", subscription["id"])
    monkeypatch.setattr(shop.stripe.subscriptions, "get", get_slowly)
    looking = asyncio.create_task(slow.look("subscription", subscription["id"]))
    await fetched.wait()
    await shop.stripe.subscriptions.reactivate("2", subscription["id"])
    await shop.mirror.look("subscription", subscription["id"])
    go_on.set()
    await looking
    assert not shop.row("subscriptions", subscription["id"])["cancel_at_period_end"]
    kinds = [line["kind"] for line in shop.rows("select kind from subscription_changes order by id")]
    assert kinds == ["created"]


async def test_many_at_once_agree(shop: Shop) -> None:
    _, theirs = await shop.customer()
    price: Any = [{"price": shop.prices["monthly"]}]
    subscription = await shop.stripe.subscriptions.create("s", customer=theirs, items=price)
    others = [Mirror(shop.postgres, shop.stripe) for _ in range(4)]
    looks = [each.look("subscription", subscription["id"]) for each in others]
    looks += [each.look("invoice", subscription["latest_invoice"]) for each in others]
    assert all(await asyncio.gather(*looks))
    assert [line["kind"] for line in shop.rows("select kind from subscription_changes")] == ["created"]
    assert shop.row("subscriptions", subscription["id"])["version"] >= 4


async def test_a_deleted_draft_is_deleted_here(shop: Shop, simulator: CheckedSimulator) -> None:
    _, theirs = await shop.customer()
    with simulator.client() as client:
        draft = client.post("/v1/invoices", data={"customer": theirs}).raise_for_status().json()
        await shop.mirror.look("invoice", draft["id"])
        assert shop.row("invoices", draft["id"])["status"] == "draft"
        client.delete(f"/v1/invoices/{draft['id']}").raise_for_status()
    assert await shop.mirror.look("invoice", draft["id"])
    deleted_at = shop.row("invoices", draft["id"])["deleted_at"]
    assert deleted_at is not None
    # Stripe's event comes twice, and after the look of who deleted it.
    assert await shop.mirror.look("invoice", draft["id"])
    assert shop.row("invoices", draft["id"])["deleted_at"] == deleted_at
    kinds = [each["kind"] for each in shop.rows("select kind from outbox order by id")]
    assert kinds == ["invoice.created", "invoice.deleted"]


async def test_a_subscription_that_stripe_knows_no_more_ended_when_that_was_first_seen(
    shop: Shop, simulator: CheckedSimulator
) -> None:
    _, theirs = await shop.customer()
    with simulator.client() as client:
        clock = client.post("/v1/test_helpers/test_clocks", data={"frozen_time": int(utc_now().timestamp())}).json()
        client.post("/_simulator/clock", json={"customer": theirs, "clock": clock["id"]}).raise_for_status()
        made = await _subscribe(shop, theirs, "monthly")
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


async def test_what_is_paid_back_shows_on_the_invoice(shop: Shop, simulator: CheckedSimulator) -> None:
    _, theirs = await shop.customer()
    made = await _subscribe(shop, theirs, "team")
    invoice = made["latest_invoice"]
    assert await shop.mirror.look("invoice", invoice)

    def paid_back() -> tuple[int, str | None]:
        row = shop.row("invoices", invoice)
        assert (row["status"], row["amount_paid_minor"]) == ("paid", 3_000)
        return row["amount_refunded_minor"], row["dispute_status"]

    def told() -> list[tuple[int, str | None]]:
        payloads = shop.rows("select payload from outbox where kind = 'invoice.updated' order by id")
        return [(each["payload"]["amount_refunded_minor"], each["payload"]["dispute_status"]) for each in payloads]

    assert paid_back() == (0, None)
    with simulator.client() as client:
        (payment,) = client.get("/v1/invoice_payments", params={"invoice": invoice}).json()["data"]
        intent = payment["payment"]["payment_intent"]
        expected: list[tuple[int, str | None]] = []
        refund, dispute = "/v1/refunds", "/_simulator/disputes"
        for path, body, outcome in (
            (refund, {"payment_intent": intent, "amount": 500}, (500, None)),
            (refund, {"payment_intent": intent, "amount": 700}, (1_200, None)),
            (dispute, {"payment_intent": intent}, (1_200, "needs_response")),
            (dispute, {"payment_intent": intent, "status": "won"}, (1_200, "won")),
        ):
            sent = {"data": body} if path == refund else {"json": body}
            client.post(path, **sent).raise_for_status()
            assert await shop.mirror.look("payment_intent", intent)
            # The invoice itself says nothing of it, and a look at that forgets nothing.
            assert await shop.mirror.look("invoice", invoice)
            expected.append(outcome)
            assert (paid_back(), told()) == (outcome, expected)


async def test_a_payment_of_a_stranger_is_not_ours(shop: Shop, simulator: CheckedSimulator) -> None:
    stranger = await shop.stripe.customers.create("stranger", name="Eve")
    method = await shop.stripe.payment_methods.attach("card", "pm_card_visa", stranger["id"])
    await shop.stripe.payment_methods.set_default("default", method["id"], stranger["id"])
    items: Any = [{"price": shop.prices["monthly"]}]
    await shop.stripe.subscriptions.create("s", customer=stranger["id"], items=items)
    (intent,) = simulator.objects("payment_intent")
    assert not await shop.mirror.look("payment_intent", intent["id"])
    assert shop.rows("select 1 from invoices") == []


async def test_a_change_scheduled_for_the_next_period_shows(shop: Shop) -> None:
    _, theirs = await shop.customer()
    subscription = await _subscribe(shop, theirs, "team")
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
    assert _plan(shop, row) == {"slug": "pro", "version": 1}
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
    assert _plan(shop, row) == {"slug": "pro", "version": 2}
    line = shop.rows("select kind, mrr_delta_minor from subscription_changes order by id desc limit 1")
    assert line == [{"kind": "plan_changed", "mrr_delta_minor": 3 * 2_000}]


def _plan(shop: Shop, row: dict[str, Any]) -> dict[str, Any]:
    (plan,) = shop.rows("select slug, version from pricing_plans where id = %s", [row["plan_id"]])
    return plan


async def _subscribe(shop: Shop, customer: str, price: str, *, quantity: int = 1) -> dict[str, Any]:
    items: Any = [{"price": shop.prices[price], "quantity": quantity}]
    made = await shop.stripe.subscriptions.create("subscribe", customer=customer, items=items)
    assert await shop.mirror.look("subscription", made["id"])
    return made


async def _state(shop: Shop, subscription: str) -> dict[str, Any]:
    return state(read_subscription(shop.row("subscriptions", subscription)["stripe_object"]))


async def test_redemptions_of_a_code_follow_stripe_and_never_fall(shop: Shop) -> None:
    coupon = await shop.stripe.coupons.create("coupon", percent_off=20, duration="forever")
    code = await shop.stripe.promotion_codes.create("code", promotion={"type": "coupon", "coupon": coupon["id"]})
    assert not await shop.mirror.look("promotion_code", code["id"]), "it is no code of ours"
    insert = (
        "insert into discount_codes (organization_id, code, percent_off, duration, stripe_promotion_code_id)"
        " values (%s, 'LOYAL', 20, 'forever', %s)"
    )
    shop.rows(insert, [shop.organization_id, code["id"]])
    counted = "select redemptions from discount_codes where stripe_promotion_code_id = %s"
    for times in (1, 2):
        _, theirs = await shop.customer()
        items: Any = [{"price": shop.prices["monthly"]}]
        discounts: Any = [{"promotion_code": code["id"]}]
        await shop.stripe.subscriptions.create(f"s:{times}", customer=theirs, items=items, discounts=discounts)
        assert await shop.mirror.look("promotion_code", code["id"])
        assert shop.rows(counted, [code["id"]]) == [{"redemptions": times}]
    shop.rows("update discount_codes set redemptions = 7")
    assert await shop.mirror.look("promotion_code", code["id"])
    assert shop.rows(counted, [code["id"]]) == [{"redemptions": 7}]
