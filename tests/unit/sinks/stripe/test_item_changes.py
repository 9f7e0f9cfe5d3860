"""Items that become others."""

from __future__ import annotations

from sinks.stripe.item_changes import HeldItem, WantedItem, item_changes

HELD = [HeldItem("si_1", "base", 1, True), HeldItem("si_2", "seats", 3, True), HeldItem("si_3", "calls", None, False)]


def test_what_stays_is_not_named() -> None:
    assert item_changes(HELD, [WantedItem("calls", None), WantedItem("base", 1), WantedItem("seats", 3)]) == []


def test_another_quantity_keeps_the_item() -> None:
    wanted = [WantedItem("base", 1), WantedItem("seats", 5), WantedItem("calls", None)]
    assert item_changes(HELD, wanted) == [{"id": "si_2", "quantity": 5}]


def test_another_plan_swaps_items_of_a_kind() -> None:
    wanted = [WantedItem("pro-base", 1), WantedItem("seats", 3), WantedItem("pro-calls", None)]
    assert item_changes(HELD, wanted) == [
        {"id": "si_1", "price": "pro-base", "quantity": 1},
        {"id": "si_3", "price": "pro-calls"},
    ]


def test_what_has_no_counterpart_is_added_or_deleted() -> None:
    assert item_changes(HELD, [WantedItem("solo", 1)]) == [
        {"id": "si_1", "price": "solo", "quantity": 1},
        {"id": "si_2", "deleted": True},
        {"id": "si_3", "deleted": True},
    ]
    assert item_changes(HELD[:1], [WantedItem("base", 1), WantedItem("storage", None)]) == [{"price": "storage"}]
