"""The mirror between a simulator and Postgres: what Stripe says is what we have, whoever looks when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sinks.mirror import Mirror
from tests.integration.sinks.selling import Shop, subscribe
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration

pytestmark = pytest.mark.integration


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
    subscription = await subscribe(shop, theirs, "monthly", quantity=3)
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


async def test_a_state_fetched_before_another_is_never_applied_after_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, theirs = await shop.customer()
    subscription = await subscribe(shop, theirs, "monthly")
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


async def test_what_is_paid_back_shows_on_the_invoice(shop: Shop, simulator: CheckedSimulator) -> None:
    _, theirs = await shop.customer()
    made = await subscribe(shop, theirs, "team")
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
