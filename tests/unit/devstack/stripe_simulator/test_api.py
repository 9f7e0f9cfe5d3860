"""The door: keys, versions, errors, lists, expansion and idempotency, each as Stripe does it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from devstack.stripe_simulator.config import SimulatorConfig
from tests.unit.devstack.stripe_simulator.simulator import KEY, Simulator, running


async def test_basic_and_bearer_are_both_let_in(simulator: Simulator) -> None:
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    assert (await simulator.send("GET", "/v1/customers", authorization=f"Basic {basic}")).status_code == 200
    assert (await simulator.send("GET", "/v1/customers")).status_code == 200


@pytest.mark.parametrize("authorization", ["", "Bearer sk_test_somebody_elses", "Basic !", "Basic " + "Og=="])
async def test_others_are_not(simulator: Simulator, authorization: str) -> None:
    error = (await simulator.call("GET", "/v1/customers", status=401, authorization=authorization))["error"]
    assert error["type"] == "invalid_request_error"
    assert "somebody" not in error["message"]


async def test_every_answer_names_its_request_and_version(simulator: Simulator) -> None:
    response = await simulator.send("GET", "/v1/customers", stripe_version="2026-10-28.endive")
    assert response.headers["Request-Id"].startswith("req_")
    assert response.headers["Stripe-Version"] == "2026-10-28.endive"
    await simulator.call("GET", "/v1/customers", status=400, stripe_version="2020-08-27")


async def test_what_is_not_there_is_404_in_the_path_and_400_as_a_parameter(simulator: Simulator) -> None:
    error = (await simulator.call("GET", "/v1/customers/cus_none", status=404))["error"]
    assert (error["code"], error["param"], error["message"]) == (
        "resource_missing",
        "id",
        "No such customer: 'cus_none'",
    )
    form = {"customer": "cus_none"}
    error = (await simulator.call("POST", "/v1/setup_intents", form, status=400))["error"]
    assert (error["code"], error["param"]) == ("resource_missing", "customer")
    assert "Unrecognized request URL" in (await simulator.call("GET", "/v1/nothing", status=404))["error"]["message"]


async def test_an_unknown_parameter_undoes_the_call(simulator: Simulator) -> None:
    error = (await simulator.call("POST", "/v1/customers", {"nmae": "x"}, status=400))["error"]
    assert (error["code"], error["param"]) == ("parameter_unknown", "nmae")
    assert simulator.world.kinds() == []


async def test_lists_go_both_ways_newest_first(simulator: Simulator) -> None:
    made = [(await simulator.call("POST", "/v1/customers", {"name": str(n)}))["id"] for n in range(7)]
    newest_first = made[::-1]
    seen: list[str] = []
    page = await simulator.call("GET", "/v1/customers", {"limit": 3})
    while True:
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        page = await simulator.call("GET", "/v1/customers", {"limit": 3, "starting_after": seen[-1]})
    assert seen == newest_first
    back = await simulator.call("GET", "/v1/customers", {"limit": 2, "ending_before": newest_first[3]})
    assert [one["id"] for one in back["data"]] == newest_first[1:3]
    assert back["has_more"] is True
    await simulator.call("GET", "/v1/customers", {"limit": 0}, status=400)
    await simulator.call("GET", "/v1/customers", {"limit": 101}, status=400)
    await simulator.call("GET", "/v1/customers", {"starting_after": "cus_none"}, status=400)


async def test_lists_are_bounded_in_time(simulator: Simulator) -> None:
    for _ in range(3):
        await simulator.call("POST", "/v1/customers")
        simulator.time.seconds += 10
    middle = int(simulator.time.seconds) - 20
    for bound, count in (("gte", 2), ("gt", 1), ("lte", 2), ("lt", 1)):
        page = await simulator.call("GET", "/v1/customers", {f"created[{bound}]": middle})
        assert len(page["data"]) == count
    assert len((await simulator.call("GET", "/v1/customers", {"created": middle}))["data"]) == 1


async def test_references_are_expanded_in_objects_and_lists(simulator: Simulator) -> None:
    customer = await simulator.call("POST", "/v1/customers", {"payment_method": "pm_card_visa"})
    form = {"customer": customer["id"], "payment_method": "pm_card_visa", "confirm": "true"}
    intent = await simulator.call("POST", "/v1/setup_intents", {**form, "expand[]": "payment_method.customer"})
    assert intent["payment_method"]["customer"]["id"] == customer["id"]
    page = await simulator.call(
        "GET", "/v1/setup_intents", {"expand[0]": "data.customer", "expand[1]": "data.payment_method"}
    )
    assert page["data"][0]["customer"]["id"] == customer["id"]
    assert page["data"][0]["payment_method"]["card"]["last4"] == "4242"
    for path in ("nothing", "customer.invoice_settings.default_payment_method.customer.name", "status"):
        await simulator.call("GET", f"/v1/setup_intents/{intent['id']}", {"expand[]": path}, status=400)


async def test_a_deleted_customer_still_answers_for_itself(simulator: Simulator) -> None:
    customer = (await simulator.call("POST", "/v1/customers"))["id"]
    intent = await simulator.call("POST", "/v1/setup_intents", {"customer": customer})
    gone = {"id": customer, "object": "customer", "deleted": True}
    assert await simulator.call("DELETE", f"/v1/customers/{customer}") == gone
    assert await simulator.call("GET", f"/v1/customers/{customer}") == gone
    shown = await simulator.call("GET", f"/v1/setup_intents/{intent['id']}", {"expand[]": "customer"})
    assert shown["customer"] == gone
    await simulator.call("POST", f"/v1/customers/{customer}", {"name": "x"}, status=404)


async def test_a_repeated_key_gets_the_first_answer(simulator: Simulator) -> None:
    first = await simulator.send("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    again = await simulator.send("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert len(simulator.world.find("customer")) == 1


async def test_a_key_is_for_one_call_only(simulator: Simulator) -> None:
    await simulator.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    for path, form in (("/v1/customers", {"name": "b"}), ("/v1/products", {"name": "a"})):
        error = (await simulator.call("POST", path, form, status=400, idempotency_key="k"))["error"]
        assert error["type"] == "idempotency_error"
    await simulator.call("POST", "/v1/customers", status=400, idempotency_key="k" * 256)


async def test_a_key_is_forgotten_after_a_day(simulator: Simulator) -> None:
    await simulator.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    simulator.time.seconds += 86_400
    await simulator.call("POST", "/v1/customers", {"name": "b"}, idempotency_key="k")
    assert len(simulator.world.find("customer")) == 2


async def test_a_key_that_is_in_use_is_409(simulator: Simulator) -> None:
    await simulator.put_faults(rules=[{"kind": "hang_after", "seconds": 0.3, "times": 1}])
    slow = asyncio.create_task(simulator.send("POST", "/v1/customers", {"name": "a"}, idempotency_key="k"))
    await asyncio.sleep(0.1)
    error = (await simulator.call("POST", "/v1/customers", {"name": "a"}, status=409, idempotency_key="k"))["error"]
    assert error["code"] == "idempotency_key_in_use"
    assert (await slow).status_code == 200
    await simulator.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    assert len(simulator.world.find("customer")) == 1


async def test_what_had_no_effect_is_not_kept_and_a_decline_is(simulator: Simulator) -> None:
    await simulator.call("POST", "/v1/customers", {"nmae": "a"}, status=400, idempotency_key="k")
    await simulator.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    form = {"payment_method": "pm_card_chargeDeclined", "confirm": "true"}
    first = await simulator.call("POST", "/v1/setup_intents", form, status=402, idempotency_key="d")
    assert first == await simulator.call("POST", "/v1/setup_intents", form, status=402, idempotency_key="d")
    assert len(simulator.world.find("setup_intent")) == 1


async def test_a_restart_keeps_objects_and_keys(tmp_path: Path) -> None:
    config = SimulatorConfig(port=1, api_key=KEY, tick_s=3600, state_path=tmp_path / "state.sqlite")
    async with running(config) as before:
        made = await before.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k")
    async with running(config) as after:
        assert await after.call("POST", "/v1/customers", {"name": "a"}, idempotency_key="k") == made
        assert await after.call("GET", f"/v1/customers/{made['id']}") == made
