"""Every list by creation: both orders, pages in each, a stretch of time, and cursors that hold to their order."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.api.selling.shop import Shop
from tests.integration.api.selling.subscribers import SEATS, SOLO, change, subscribe

LISTS = ["customers", "payment-methods", "subscriptions", "invoices", "discount-codes", "plans", "changes"]


def filled(shop: Shop, name: str) -> str:
    """Make three of what a list shows; return its path."""
    if name == "plans":
        for slug in ("b", "a", "c"):
            shop.client.post("/api/v1/plans", json={**SOLO, "slug": slug, "activate": True}).raise_for_status()
        return "/api/v1/plans"
    if name == "discount-codes":
        for code in ("ONE", "TWO", "THREE"):
            shop.client.post("/api/v1/discount-codes", json={"code": code, "percent_off": 10}).raise_for_status()
        return "/api/v1/discount-codes"
    shop.sell(**SEATS)
    if name == "changes":
        made = subscribe(shop, "seats")
        for quantity in (2, 3):
            change(shop, made, quantity=quantity).raise_for_status()
        return f"/api/v1/subscriptions/{made['id']}/changes"
    for _ in range(3):
        subscribe(shop, "seats")
    return f"/api/v1/{name}"


def walked(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return a list, read a row at a time."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        found = client.get(path, params={"limit": 1, **query, **cursor})
        assert found.status_code == 200, found.text
        rows += found.json()["data"]
        if not found.json()["has_more"]:
            return rows
        cursor = {"cursor": found.json()["next_cursor"]}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_read_from_either_end(shop: Shop, name: str) -> None:
    path = filled(shop, name)
    oldest = shop.client.get(path, params={"sort": "created_at"}).json()["data"]
    assert len(oldest) == 3
    at = "recorded_at" if name == "changes" else "created_at"
    assert oldest == sorted(oldest, key=lambda row: row[at])
    for sort, expected in (("created_at", oldest), ("-created_at", oldest[::-1])):
        assert walked(shop.client, path, sort=sort) == expected
    if name != "plans":
        assert shop.client.get(path).json()["data"] == oldest[::-1]


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_goes_on_in_its_own_order_only(shop: Shop, name: str) -> None:
    path = filled(shop, name)
    sorts = ["created_at", "-created_at", *(["slug"] if name == "plans" else [])]
    for sort in sorts:
        cursor = shop.client.get(path, params={"limit": 1, "sort": sort}).json()["next_cursor"]
        for other in sorts:
            answer = shop.client.get(path, params={"sort": other, "cursor": cursor})
            if other == sort:
                assert answer.status_code == 200
                continue
            error = answer.json()["error"]
            assert (answer.status_code, error["details"]["field"]) == (400, "cursor")
            assert f"another order than sort={other}" in error["message"]


@pytest.mark.parametrize("name", [name for name in LISTS if name != "plans"])
def test_lists_are_narrowed_to_a_time(shop: Shop, name: str) -> None:
    path = filled(shop, name)
    at = "recorded_at" if name == "changes" else "created_at"
    rows = shop.client.get(path).json()["data"]
    for sort in ("created_at", "-created_at"):
        for instant in {row[at] for row in rows}:
            early = walked(shop.client, path, to=instant, sort=sort)
            late = walked(shop.client, path, sort=sort, **{"from": instant})
            assert {row["id"] for row in early} == {row["id"] for row in rows if row[at] < instant}
            assert {row["id"] for row in late} == {row["id"] for row in rows if row[at] >= instant}
    assert shop.client.get(path, params={"from": "2026-01-01T00:00:00"}).status_code == 400


def test_plans_are_sorted_by_slug_unless_asked_otherwise(shop: Shop) -> None:
    path = filled(shop, "plans")
    assert [plan["slug"] for plan in walked(shop.client, path)] == ["a", "b", "c"]
    assert [plan["slug"] for plan in walked(shop.client, path, sort="-created_at")] == ["c", "a", "b"]
    assert [plan["slug"] for plan in walked(shop.client, path, slug="b")] == ["b"]
    shop.client.patch("/api/v1/plans/b", json={"trial_days": 3}).raise_for_status()
    versions = walked(shop.client, path, slug="b", state=["active", "archived"], sort="-created_at")
    assert [plan["version"] for plan in versions] == [2, 1]


def test_codes_are_found_as_customers_type_them_and_history_by_its_kinds(shop: Shop) -> None:
    codes = filled(shop, "discount-codes")
    assert [code["code"] for code in walked(shop.client, codes, code="two")] == ["TWO"]
    history = filled(shop, "changes")
    assert [line["kind"] for line in walked(shop.client, history, kind="created")] == ["created"]
    assert len(walked(shop.client, history, kind=["created", "quantity_changed"])) == 3
    assert shop.client.get(history, params={"kind": "moved"}).status_code == 400
