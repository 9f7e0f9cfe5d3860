"""All of a call or nothing, and events that say what changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from devstack.stripe_simulator.world import Cause, World, public


def _customer(world: World, **fields: object) -> dict[str, object]:
    return world.insert({"id": world.new_id("cus"), "object": "customer", **fields}, "customer.created")


def test_a_failed_call_leaves_nothing_behind() -> None:
    world = World()
    with world.call():
        kept, gone = _customer(world, name="kept"), _customer(world, name="gone")
        between = _customer(world, name="between")
    before = world.find("customer")

    def fail() -> None:
        with world.call():
            world.update(kept, {"name": "changed"}, "customer.updated")
            world.delete(gone)
            _customer(world)
            raise StripeFailure("no")

    with pytest.raises(StripeFailure):
        fail()
    assert [one["name"] for one in world.find("customer")] == ["between", "gone", "kept"]
    assert world.find("customer") == before
    assert len(world.find("event")) == 3
    assert between["name"] == "between"
    assert not world.is_deleted("customer", str(gone["id"]))


def test_a_declined_charge_keeps_what_it_did() -> None:
    world = World()

    def decline() -> None:
        with world.call():
            _customer(world)
            raise StripeFailure("declined", keeps_effects=True)

    with pytest.raises(StripeFailure):
        decline()
    assert len(world.find("customer")) == 1


def test_an_event_says_what_changed_and_by_which_call() -> None:
    world = World()
    with world.call():
        customer = _customer(world, name="a", settings={"x": 1, "y": 2}, _private=1)
    with world.call(Cause("req_1", "key")):
        world.update(customer, {"name": "a", "settings": {"x": 1, "y": 3}, "_private": 2}, "customer.updated")
        world.update(customer, {"name": "a"}, "customer.updated")
    updated, _ = world.find("event")
    assert updated["data"]["previous_attributes"] == {"settings": {"y": 2}}
    assert updated["request"] == {"id": "req_1", "idempotency_key": "key"}
    assert updated["data"]["object"] == public(customer)
    assert "_private" not in updated["data"]["object"]


def test_an_event_shows_the_object_of_that_moment() -> None:
    world = World()
    customer = _customer(world, name="a")
    world.update(customer, {"name": "b"})
    assert world.find("event")[0]["data"]["object"]["name"] == "a"


def test_time_is_that_of_the_test_clock() -> None:
    world = World()
    clock = world.insert({"id": "clock_1", "object": "test_helpers.test_clock", "frozen_time": 1_000})
    customer = _customer(world, test_clock="clock_1")
    assert world.now(customer) == world.now({"object": "invoice", "customer": customer["id"]}) == 1_000
    world.update(clock, {"frozen_time": 2_000})
    assert world.now(customer) == 2_000
    assert world.now() > 1_700_000_000


def test_a_restart_keeps_everything_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    world = World(path=path)
    with world.call():
        first, second, third = (_customer(world, name=str(n)) for n in range(3))
        world.clock.skipped_s = 86_400
        world.keep_clock()
    with world.call():
        world.update(first, {"name": "changed"})
        world.delete(second)
    world.close()

    again = World(path=path)
    assert again.find("customer") == [third, first]
    assert again.is_deleted("customer", str(second["id"]))
    assert again.clock.skipped_s == 86_400
    with again.call():
        newest = _customer(again)
    again.close()
    last = World(path=path)
    assert last.find("customer")[0] == newest
    with last.call():
        pass
    last.reset()
    assert last.kinds() == []
    last.close()
    empty = World(path=path)
    assert empty.kinds() == []
    empty.close()


def test_private_keys_are_never_sent_but_peoples_metadata_is() -> None:
    sent = public({"_a": 1, "b": [{"_c": 2, "d": 3}], "metadata": {"_mine": "x"}})
    assert sent == {"b": [{"d": 3}], "metadata": {"_mine": "x"}}
