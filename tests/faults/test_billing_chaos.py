"""Events shuffled, repeated, late, lost; workers killed, stores restarted: in the end Postgres agrees with Stripe."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx
import pytest

from cli.keys import make_key
from metering.topics import BILLING_CHANGES
from runtime.clock import utc_now
from sinks.kafka.topics import topic_name
from tests.engines import EngineName, TestStack
from tests.faults.billing_books import assert_equal_to_stripe, assert_history, assert_published
from tests.faults.billing_storm import Storm
from tests.faults.children import Child
from tests.faults.scene import Scene, scene
from tests.integration.api.service import read_topic
from tests.integration.sinks.selling import Shop, open_shop
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process

pytestmark = [pytest.mark.faults, pytest.mark.integration]
_SECRET = "whsec_of_chaos"
_PATIENCE_S = 90.0
_FAULTS = {"duplicate": 0.4, "delay": 0.2, "delay_s": 2.0, "lose": 0.02, "shuffle": True, "shuffle_s": 1.0}
Disturb = Callable[[Scene, Sequence[Child], int], Awaitable[None]]


@pytest.mark.timeout(240)
def test_200_operations_and_two_kills(stack: TestStack) -> None:
    with scene(stack, catalogue=False) as made:
        asyncio.run(_chaos(made, operations=200, kills=2, disturb=_kill_workers))


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_2000_operations_ten_kills_and_both_stores_restarted(mortal_stack: TestStack) -> None:
    with scene(mortal_stack, catalogue=False) as made:
        asyncio.run(_chaos(made, operations=2_000, kills=10, disturb=_kill_workers_and_stores_in_turn))


async def _kill_workers(made: Scene, workers: Sequence[Child], _: int) -> None:
    for worker in workers:
        worker.kill()
    await asyncio.sleep(1)
    for worker in workers:
        worker.start()


async def _kill_workers_and_stores_in_turn(made: Scene, workers: Sequence[Child], number: int) -> None:
    await _kill_workers(made, workers, number)
    engine: EngineName | None = (None, "kafka", None, "postgres")[number % 4]
    if engine is not None:
        made.stack.kill_engine(engine)
        await asyncio.sleep(1)
        # Not in a thread of its own: an engine ends with the thread that started it.
        made.stack.restart_engine(engine)


async def _chaos(made: Scene, *, operations: int, kills: int, disturb: Disturb) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hooks = {"webhook_url": f"{made.api_url}/api/v1/webhooks/stripe", "webhook_secret": _SECRET}
        delays = (0.5, 1, 2, 4, *[5.0] * 200)
        with simulator_process(Path(folder), webhook_retry_delays_s=delays, tick_s=0.2, **hooks) as simulator:
            stripe = simulator.settings(max_requests_per_s=1_000)
            async with open_shop(made.settings.postgres.url.get_secret_value(), stripe) as shop:
                customers = [(await shop.customer(f"Customer {n}"))[1] for n in range(max(10, operations // 40))]
                api, worker, jobs = _start(made, simulator)
                simulator.control.put("/_simulator/faults", json={"seed": 5, "webhooks": _FAULTS}).raise_for_status()
                _, key = await make_key(made.settings, name="storm", organization="acme", scopes=["admin"])
                headers = {"Authorization": f"Bearer {key}"}
                ours = httpx.AsyncClient(base_url=made.api_url, headers=headers, timeout=60)
                storm = Storm(shop, simulator.control, customers, seed=operations, api=ours)
                raging = asyncio.create_task(storm.run(operations))
                for kill in range(1, kills + 1):
                    while storm.done < operations * kill // (kills + 1) and not raging.done():
                        await asyncio.sleep(0.1)
                    await disturb(made, (worker, jobs), kill)
                await raging
                await ours.aclose()
                assert storm.through_api > operations // 40, storm.refused
                await _catch_up(shop, simulator, api, worker, jobs)
                compared = assert_equal_to_stripe(shop, simulator)
                assert compared["invoices"] > operations // 10
                assert assert_history(shop, simulator) > operations // 10
                topic = topic_name(made.settings.kafka, BILLING_CHANGES)
                assert assert_published(shop, await read_topic(made.settings, topic)) > operations // 10
                assert worker.terminate() == 0, worker.tail()
                assert jobs.terminate() == 0, jobs.tail()


def _start(made: Scene, simulator: SimulatorProcess) -> tuple[Child, Child, Child]:
    """Start the API, to which the simulator sends, and the workers."""
    variables = {
        "STRIPE__API_KEY": simulator.api_key,
        "STRIPE__API_BASE": simulator.url,
        "STRIPE__WEBHOOK_SECRETS": _SECRET,
        "STRIPE__MAX_REQUESTS_PER_S": "1000",
    }
    api = made.api(**variables)
    worker = made.worker("billing", **variables)
    jobs = made.worker("jobs", **variables)
    worker.wait_for_log("partitions assigned")
    return api, worker, jobs


async def _catch_up(shop: Shop, simulator: SimulatorProcess, api: Child, worker: Child, jobs: Child) -> None:
    """Let nothing go wrong any more and Stripe be asked for what was lost; wait until all is applied and published."""
    simulator.break_things()
    children = [api, worker, jobs]

    def count(statement: str) -> int:
        return int(shop.rows(f"select count(*) from {statement}")[0]["count"])

    def undelivered() -> int:
        # What waits for its next try is tried now: the test is not about patience.
        simulator.control.post("/_simulator/webhooks/retry").raise_for_status()
        return int(simulator.control.get("/_simulator/objects").json().get("_delivery", 0))

    await _until_none("undelivered webhooks", undelivered, children)
    jobs.kill()
    began_at = utc_now()
    jobs.start()
    reconciled = "job_cursors where name = 'reconcile_stripe' and reached_at >= "
    await _until_none("reconciliation", lambda: 1 - count(f"{reconciled}'{began_at.isoformat()}'"), children)
    assert "came by asking only" in jobs.log_file.read_text()
    shop.rows("update stripe_inbox set try_at = now() where state = 'received' and tries > 0")
    await _until_none("unapplied events", lambda: count("stripe_inbox where state = 'received'"), children)
    assert shop.rows("select event_id, error from stripe_inbox where state = 'parked'") == []
    events = {event["id"] for event in simulator.objects("event")}
    assert events <= {row["event_id"] for row in shop.rows("select event_id from stripe_inbox")}
    await _until_none("unpublished changes", lambda: count("outbox where sent_at is null"), children)


async def _until_none(what: str, count: Callable[[], int], children: list[Child]) -> None:
    """Wait until there are none; fails when they do not become fewer for long."""
    least, deadline = None, time.monotonic() + _PATIENCE_S
    while (left := await asyncio.to_thread(count)) > 0:
        if least is None or left < least:
            least, deadline = left, time.monotonic() + _PATIENCE_S
        for child in children:
            child.assert_running()
        assert time.monotonic() < deadline, "\n".join([f"{left} {what}", *(child.tail() for child in children)])
        await asyncio.sleep(0.5)
