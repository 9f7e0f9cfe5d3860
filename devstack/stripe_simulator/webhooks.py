"""Deliveries of events: signed, repeated with growing delays until they are taken, in no promised order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

import httpx

from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.faults import Faults
from devstack.stripe_simulator.world import World, public
from runtime.logging import get_logger
from runtime.tasks import end_tasks

_POLL_S = 0.1
_AT_ONCE = 16
_log = get_logger(__name__)


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """Return the header `Stripe-Signature` (docs.stripe.com/webhooks/signature)."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


def payload(event: Obj) -> bytes:
    """Return an event as it is sent; a thin one goes without its data, which the receiver fetches."""
    sent = public(event)
    if event["object"] == "v2.core.event":
        sent.pop("data", None)
    return json.dumps(sent, indent=2).encode()


class Deliverer:
    """Sends what the world has queued."""

    def __init__(self, world: World, config: SimulatorConfig, faults: Faults, client: httpx.AsyncClient) -> None:
        self._world, self._config, self._faults, self._client = world, config, faults, client
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self.start_due()
                await asyncio.sleep(_POLL_S)
        finally:
            await end_tasks(*self._under_way.values())

    async def settle(self) -> None:
        """Send all that is due, and wait for it."""
        self.start_due()
        await asyncio.gather(*self._under_way.values())

    def start_due(self) -> None:
        """Start every delivery that is due; slow receivers do not keep the others waiting."""
        now = self._world.clock.now()
        due = [
            delivery
            for delivery in reversed(self._world.find("_delivery"))
            if delivery["due_at"] <= now and delivery["id"] not in self._under_way
        ]
        if self._faults.plan.webhooks.shuffle:
            self._faults.shuffle(due)
        for delivery in due:
            self._under_way[delivery["id"]] = asyncio.create_task(self._attempt(delivery))

    async def _attempt(self, delivery: Obj) -> None:
        try:
            await self._deliver(delivery)
        finally:
            del self._under_way[delivery["id"]]

    async def _deliver(self, delivery: Obj) -> None:
        if not self._is_to_be_sent(delivery):
            return
        if self._faults.plan.webhooks.shuffle:
            await asyncio.sleep(self._faults.up_to(self._faults.plan.webhooks.shuffle_s))
        event = self._world.known(delivery["event_kind"], delivery["event"])
        receiver = self._world.known(delivery["receiver_kind"], delivery["receiver"])
        if event is None or receiver is None or receiver["status"] != "enabled":
            with self._world.call():
                self._world.delete(delivery)
            return
        again = self._faults.plan.webhooks.duplicate
        copies = 1 + (2 if self._faults.happens(again * again) else int(self._faults.happens(again)))
        async with self._places:
            taken = [await self._send(event, receiver) for _ in range(copies)]
        if self._world.known("_delivery", delivery["id"]) is None:
            return  # the world was reset meanwhile
        with self._world.call():
            self._settle(delivery, event, taken=all(taken))

    def _is_to_be_sent(self, delivery: Obj) -> bool:
        """Throw the dice for a delivery's first try: it may be lost, or come later."""
        if delivery.get("drawn"):
            return True
        plan = self._faults.plan.webhooks
        with self._world.call():
            if self._faults.happens(plan.lose):
                self._world.delete(delivery)
                return False
            changes: Obj = {"drawn": True}
            is_late = self._faults.happens(plan.delay)
            if is_late:
                changes["due_at"] = self._world.clock.now() + plan.delay_s
            self._world.update(delivery, changes)
        return not is_late

    async def _send(self, event: Obj, receiver: Obj) -> bool:
        body = payload(event)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(receiver["_secret"], body, int(self._world.clock.real_now())),
        }
        url = receiver.get("url") or receiver["_url"]
        try:
            answer = await self._client.post(url, content=body, headers=headers, timeout=self._config.webhook_timeout_s)
        except httpx.HTTPError as exc:
            _log.info("a webhook was not taken", id=event["id"], url=url, reason=repr(exc))
            return False
        if not answer.is_success:
            _log.info("a webhook was refused", id=event["id"], url=url, status=answer.status_code)
        return answer.is_success

    def _settle(self, delivery: Obj, event: Obj, *, taken: bool) -> None:
        attempts = delivery["attempts"] + 1
        delays = self._config.webhook_retry_delays_s
        if taken:
            self._world.delete(delivery)
            if "pending_webhooks" in event:
                self._world.update(event, {"pending_webhooks": event["pending_webhooks"] - 1})
        elif attempts > len(delays):
            self._world.delete(delivery)  # given up: the event stays pending, as `delivery_success=false` shows
        else:
            due_at = self._world.clock.now() + delays[attempts - 1]
            self._world.update(delivery, {"attempts": attempts, "due_at": due_at})
