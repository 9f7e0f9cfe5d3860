"""Holds Postgres against Stripe's simulator, object for object, and the history and the outbox against the states."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from billing.stripe_objects import ENDED, read_subscription
from billing.subscription_changes import state
from tests.integration.sinks.selling import Row, Shop
from tests.integration.stripe.simulator_process import SimulatorProcess

_ALIVE = {
    "customers": "deleted_at is null",
    "invoices": "deleted_at is null",
    "payment_methods": "detached_at is null",
}


def assert_equal_to_stripe(shop: Shop, simulator: SimulatorProcess) -> dict[str, int]:
    """Fail where a row differs from its object, or one of the two is missing; return how many were compared."""
    pairs = {
        "customers": (_customer, [one for one in simulator.objects("customer") if not one.get("deleted")]),
        "subscriptions": (_subscription, simulator.objects("subscription")),
        "invoices": (_invoice, simulator.objects("invoice")),
        "payment_methods": (_payment_method, [pm for pm in simulator.objects("payment_method") if pm["customer"]]),
    }
    compared = {}
    for table, (told, objects) in pairs.items():
        alive = _ALIVE.get(table, "true")
        rows = {row[f"stripe_{table[:-1]}_id"]: row for row in shop.rows(f"select * from {table} where {alive}")}
        assert rows.keys() == {obj["id"] for obj in objects}, table
        for obj in objects:
            expected = told(obj)
            assert {name: rows[obj["id"]][name] for name in expected} == expected, (table, obj["id"])
        compared[table] = len(objects)
    _assert_kept_objects(shop, {obj["id"]: obj for obj in pairs["subscriptions"][1]})
    _assert_lines(shop, simulator, pairs["invoices"][1])
    _assert_defaults(shop, pairs["customers"][1])
    return compared


def assert_history(shop: Shop, simulator: SimulatorProcess) -> int:
    """Fail unless each line begins where the lines before it ended, and the last ends at the present state.

    Nor may it go backwards: each state in between is one that Stripe has told of, an end is the end, and a period
    begins no earlier than the one before it, unless another price has other periods.
    """
    told = _told_states(simulator)
    lines: defaultdict[Any, list[Row]] = defaultdict(list)
    for line in shop.rows("select * from subscription_changes order by id"):
        lines[line["subscription_id"]].append(line)
    for row in shop.rows("select * from subscriptions"):
        now: Row = {}
        versions: list[int] = []
        states: dict[int, str] = {}
        other_cycle = {line["version"] for line in lines[row["id"]] if "billing_cycle" in line["to"]}
        for line in lines[row["id"]]:
            assert line["from"] == ({name: now[name] for name in line["to"]} if now else None), line
            assert line["from"] is None or all(line["from"][name] != line["to"][name] for name in line["to"]), line
            if "current_period_start" in line["to"] and line["from"] and line["version"] not in other_cycle:
                assert line["from"]["current_period_start"] < line["to"]["current_period_start"], line
            assert now.get("status") not in ENDED or "status" not in line["to"], line
            now |= line["to"]
            versions.append(line["version"])
            states[line["version"]] = _comparable(now)
        assert versions == sorted(versions)
        assert [found for found in states.values() if found not in told[row["stripe_subscription_id"]]] == []
        assert now == state(read_subscription(row["stripe_object"])), row["stripe_subscription_id"]
        assert sum(line["mrr_delta_minor"] for line in lines[row["id"]]) == row["mrr_minor"]
    return sum(map(len, lines.values()))


def assert_published(shop: Shop, records: list[Any]) -> int:
    """Fail unless a reader that ignores what it had, by customer and id, has applied each change once."""
    applied: list[int] = []
    last: defaultdict[str, int] = defaultdict(int)
    for record in records:
        message = json.loads(record.value)
        assert record.key == message["customer_id"].encode()
        if message["id"] > last[message["customer_id"]]:
            last[message["customer_id"]] = message["id"]
            applied.append(message["id"])
    assert sorted(applied) == [row["id"] for row in shop.rows("select id from outbox order by id")]
    return len(applied)


def _told_states(simulator: SimulatorProcess) -> dict[str, set[str]]:
    """Return every state of each subscription that an event has told of."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for event in simulator.objects("event"):
        if event["type"].startswith("customer.subscription."):
            obj = event["data"]["object"]
            found[obj["id"]].add(_comparable(state(read_subscription(obj))))
    return found


def _comparable(found: Row) -> str:
    """Return a state as text, without what is scheduled: an event names a schedule, and does not tell it."""
    return json.dumps({name: value for name, value in found.items() if name != "scheduled"}, sort_keys=True)


def _customer(obj: Row) -> Row:
    return {
        "name": obj["name"],
        "email": obj["email"],
        "currency": obj["currency"],
        "balance_minor": obj["balance"],
        "delinquent": obj["delinquent"],
        "stripe_default_payment_method_id": obj["invoice_settings"]["default_payment_method"],
        "deleted_at": None,
    }


def _subscription(obj: Row) -> Row:
    item = obj["items"]["data"][0]
    return {
        "status": obj["status"],
        "currency": obj["currency"],
        "quantity": item["quantity"],
        "billing_cycle": item["price"]["recurring"]["interval"],
        "current_period_start": _time(item["current_period_start"]),
        "current_period_end": _time(item["current_period_end"]),
        "trial_end": _time(obj["trial_end"]),
        "cancel_at_period_end": obj["cancel_at_period_end"],
        "cancel_at": _time(obj["cancel_at"]),
        "canceled_at": _time(obj["canceled_at"]),
        "ended_at": _time(obj["ended_at"]),
        "pause_behavior": obj["pause_collection"] and obj["pause_collection"]["behavior"],
        "created_at": _time(obj["created"]),
    }


def _invoice(obj: Row) -> Row:
    return {
        "status": obj["status"],
        "number": obj["number"],
        "currency": obj["currency"],
        "billing_reason": obj["billing_reason"],
        "subtotal_minor": obj["subtotal"],
        "discount_minor": 0,
        "tax_minor": 0,
        "total_minor": obj["total"],
        "amount_due_minor": obj["amount_due"],
        "amount_paid_minor": obj["amount_paid"],
        "amount_remaining_minor": obj["amount_remaining"],
        "attempt_count": obj["attempt_count"],
        "next_payment_attempt": _time(obj["next_payment_attempt"]),
        "finalized_at": _time(obj["status_transitions"]["finalized_at"]),
        "paid_at": _time(obj["status_transitions"]["paid_at"]),
        "created_at": _time(obj["created"]),
    }


def _payment_method(obj: Row) -> Row:
    card = obj["card"]
    return {
        "kind": "card",
        "brand": card["brand"],
        "last4": card["last4"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
    }


def _assert_kept_objects(shop: Shop, objects: dict[str, Row]) -> None:
    """Beside what was expanded, the object that is kept is the object."""
    for row in shop.rows("select stripe_subscription_id, stripe_object from subscriptions"):
        kept, obj = row["stripe_object"], objects[row["stripe_subscription_id"]]
        for item in kept["items"]["data"]:
            item["price"].pop("currency_options")
        if isinstance(kept["schedule"], dict):
            kept["schedule"] = kept["schedule"]["id"]
        assert kept == obj


def _assert_lines(shop: Shop, simulator: SimulatorProcess, invoices: list[Row]) -> None:
    found = shop.rows(
        "select stripe_invoice_id, stripe_line_id, amount_minor from invoice_lines"
        " join invoices on id = invoice_id where deleted_at is null"
    )
    told = [
        (invoice["id"], line["id"], line["amount"]) for invoice in invoices for line in _all_lines(simulator, invoice)
    ]
    assert sorted((row["stripe_invoice_id"], row["stripe_line_id"], row["amount_minor"]) for row in found) == sorted(
        told
    )


def _all_lines(simulator: SimulatorProcess, invoice: Row) -> list[Row]:
    if not invoice["lines"]["has_more"]:
        return list(invoice["lines"]["data"])
    page = simulator.control.get(f"/v1/invoices/{invoice['id']}/lines", params={"limit": 100}).raise_for_status().json()
    assert not page["has_more"]
    return list(page["data"])


def _assert_defaults(shop: Shop, customers: list[Row]) -> None:
    found = shop.rows("select stripe_payment_method_id from payment_methods where is_default and detached_at is null")
    told = [customer["invoice_settings"]["default_payment_method"] for customer in customers]
    assert sorted(row["stripe_payment_method_id"] for row in found) == sorted(filter(None, told))


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
