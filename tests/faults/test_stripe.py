"""Stripe fails in every way at once and our process dies meanwhile: what was meant is there once, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import utc_now
from sinks.stripe.client import StripeGateway
from tests.faults.stripe_caller import METER, Caller
from tests.faults.stripe_plan import End, FirstInvoice, Journey, plan
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process

pytestmark = pytest.mark.faults

_TIMEOUT_S = 3.0
_LATE_S = 3.5
_PER_S = 80  # so few that most calls wait for their turn
_TRIES = 3  # few, so that callers are told of it and must repeat
_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop_after", "probability": 0.1},
    {"kind": "error_before", "probability": 0.05, "status": 503},
    {"kind": "error_after", "probability": 0.05},
    {"kind": "rate_limit", "probability": 0.05, "retry_after_s": 1},
    {"kind": "latency", "probability": 0.02, "seconds": _LATE_S},
    {"kind": "hang_after", "probability": 0.02, "seconds": _LATE_S},
)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A Stripe of this test alone, which may be killed: it keeps what it has in a file."""
    with simulator_process(tmp_path, state_path=tmp_path / "state.sqlite") as running:
        yield running


@pytest.mark.parametrize(
    ("operations", "crashes"),
    [
        pytest.param(1_000, 2, marks=pytest.mark.timeout(900)),  # half a minute where nothing else runs
        pytest.param(5_000, 12, marks=pytest.mark.long),
    ],
)
async def test_what_was_meant_is_there_once(process: SimulatorProcess, operations: int, crashes: int) -> None:
    journeys, ended, began_at = plan(operations, seed=operations), set[str](), utc_now()
    settings = process.settings(timeout_s=_TIMEOUT_S, max_tries=_TRIES, max_requests_per_s=_PER_S, breaker_open_s=1)
    async with StripeGateway(settings) as gateway:
        await gateway.meters.create("meter", event_name=METER, display_name="Tokens")
    await _second_of_its_own(process)
    process.break_things(*_FAULTS, seed=operations)
    repeated = 0
    for number in range(crashes + 1):
        async with StripeGateway(settings) as gateway:
            caller = Caller(gateway, began_at, ended)
            making = asyncio.create_task(caller.make(journeys))
            if number < crashes:
                enough = sum(journey.calls for journey in journeys) * (number + 1) // (crashes + 1)
                await _until(making, ended, enough)
                making.cancel()  # with calls on their way
            await asyncio.gather(making, return_exceptions=number < crashes)
        repeated += caller.repeated
        await _second_of_its_own(process)
    process.break_things()
    await asyncio.sleep(_LATE_S)  # what we gave up may still have its effect

    calls = process.calls()
    assert len(ended) == sum(journey.calls for journey in journeys) >= operations
    assert repeated > 0, "no caller was ever told that a call failed"
    assert {rule["kind"] for rule in _FAULTS} == {kind for call in calls for kind in call["faults"]}
    _assert_exact(process, journeys)
    _assert_limit_kept(calls)


async def _until(making: asyncio.Task[None], ended: set[str], enough: int) -> None:
    while len(ended) < enough and not making.done():
        await asyncio.sleep(0.01)


async def _second_of_its_own(process: SimulatorProcess) -> None:
    """Let the next gateway, which knows nothing of this one's calls, come a second after the last of them."""
    process.calls()  # whatever was sent before is read before
    await asyncio.sleep(1)


def _assert_exact(process: SimulatorProcess, journeys: list[Journey]) -> None:
    """Recount everything that the simulator holds by what the plan says."""
    names = Counter(journey.name for journey in journeys)
    customers = process.objects("customer")
    assert Counter(made["metadata"]["journey"] for made in customers) == names
    name_of = {made["id"]: made["metadata"]["journey"] for made in customers}
    assert Counter(name_of[made["customer"]] for made in process.objects("setup_intent")) == names
    cards = Counter(
        (name_of.get(made["customer"]), made["card"]["brand"]) for made in process.objects("payment_method")
    )
    kept = {(name, "visa"): 1 for name in names}
    assert cards == Counter(kept) + Counter({(None, "mastercard"): len(journeys)})
    assert Counter(made["name"] for made in process.objects("product")) == names
    assert Counter(made["unit_amount"] for made in process.objects("price")) == Counter(
        journey.unit_amount for journey in journeys
    )
    assert {made["id"]: made["percent_off"] for made in process.objects("coupon")} == {
        journey.name: journey.percent_off for journey in journeys
    }
    _assert_subscriptions(process, journeys)
    _assert_money(process, journeys, name_of)
    used = Counter(
        (name_of[made["payload"]["stripe_customer_id"]], made["identifier"], int(made["payload"]["value"]))
        for kind in ("_meter_event", "_taken_meter_event")
        for made in process.objects(kind)
    )
    assert used == Counter(
        (journey.name, f"{journey.name}:usage:{n}", value)
        for journey in journeys
        for n, value in enumerate(journey.usage)
    )


def _assert_subscriptions(process: SimulatorProcess, journeys: list[Journey]) -> None:
    found = Counter(
        (made["metadata"]["journey"], made["status"], made["cancel_at_period_end"], item["quantity"])
        for made in process.objects("subscription")
        for item in made["items"]["data"]
    )
    assert found == Counter(
        (journey.name, _status(journey), journey.end is End.AT_PERIOD_END, journey.final_quantity)
        for journey in journeys
    )


def _status(journey: Journey) -> str:
    if journey.first is FirstInvoice.VOIDED:
        return "incomplete_expired"
    return "canceled" if journey.end is End.NOW else "active"


def _assert_money(process: SimulatorProcess, journeys: list[Journey], name_of: dict[str, str]) -> None:
    """Each invoice is as meant, and exactly what they say was taken from the cards."""
    invoices = Counter(
        (name_of[made["customer"]], made["status"], made["total"]) for made in process.objects("invoice")
    )
    assert invoices == Counter(
        {
            (journey.name, status, total): count
            for journey in journeys
            for (status, total), count in journey.invoices.items()
        }
    )
    taken = Counter[str]()
    for made in process.objects("payment_intent"):
        taken[name_of[made["customer"]]] += made["amount_received"]
    assert taken == Counter({journey.name: journey.paid for journey in journeys})


def _assert_limit_kept(calls: list[dict[str, Any]]) -> None:
    arrivals = sorted(call["at"] for call in calls)
    # A millisecond for what the wall clock that wrote these is corrected by.
    most = next((n for n, (a, b) in enumerate(zip(arrivals, arrivals[_PER_S:], strict=False)) if b - a < 0.999), None)
    assert most is None, f"more than {_PER_S} calls in the second from call {most} on"


async def test_a_stripe_that_fails_is_left_alone_and_found_again(process: SimulatorProcess) -> None:
    settings = process.settings(timeout_s=5, max_tries=2, breaker_failures=4, breaker_open_s=1, max_requests_per_s=200)
    async with StripeGateway(settings) as gateway:
        caller = Caller(gateway, utc_now(), set())

        async def make(numbers: range) -> None:
            async with asyncio.TaskGroup() as group:
                for n in numbers:
                    group.create_task(
                        caller.do(f"customer:{n}", lambda key: gateway.customers.create(key, metadata={"n": key}))
                    )

        async def repeat(times: int) -> None:
            enough = caller.repeated + times
            while caller.repeated < enough:
                await asyncio.sleep(0.05)

        await make(range(5))
        process.break_things({"kind": "error_before", "status": 503})
        began_at = time.monotonic()
        waiting = asyncio.create_task(make(range(5, 25)))
        await repeat(300)
        sent = len(process.calls()) - 5
        # What was on its way when the breaker opened, the four failures that opened it, and a probe a second.
        assert sent <= 20 + 4 + (time.monotonic() - began_at), "who does not answer is called all the same"
        process.kill()
        await repeat(60)
        assert not waiting.done()
        process.start()
        await waiting
    assert Counter(made["metadata"]["n"] for made in process.objects("customer")) == Counter(
        f"customer:{n}" for n in range(25)
    )
