"""Events reach their receivers: signed so that Stripe's library takes them, repeated until they are taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import stripe
from stripe import StripeClient

from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.standing_receivers import keep_receivers
from devstack.stripe_simulator.webhooks import Deliverer, signature
from devstack.stripe_simulator.world import World
from tests.contract.stripe_document import check_event
from tests.unit.devstack.stripe_simulator.simulator import NOW, Simulator


@dataclass
class Receiver:
    """A server that takes deliveries, or refuses the next ones."""

    url: str = ""
    refuse: int = 0
    taken: list[tuple[bytes, str]] = field(default_factory=list)
    tries: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")[1:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.tries += 1
            refused = self.refuse > 0
            self.refuse -= refused
            if not refused:
                self.taken.append((body, headers["stripe-signature"]))
            status = b"500 No" if refused else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            await writer.drain()
            break
        writer.close()

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.taken]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield found
    server.close()
    await server.wait_closed()


async def _listen(simulator: Simulator, receiver: Receiver, events: str = "*") -> str:
    form = {"url": receiver.url, "enabled_events[]": events}
    return str((await simulator.call("POST", "/v1/webhook_endpoints", form))["secret"])


async def _settle(simulator: Simulator) -> None:
    deliverer: Deliverer = simulator.app.state.deliverer
    await deliverer.settle()


async def test_stripes_library_takes_our_events(simulator: Simulator, receiver: Receiver) -> None:
    secret = await _listen(simulator, receiver)
    await simulator.call("POST", "/v1/customers", {"name": "a"})
    await _settle(simulator)
    body, header = receiver.taken[0]
    event = stripe.Webhook.construct_event(body, header, secret, tolerance=10**9)
    assert event.type == "customer.created"
    assert check_event(json.loads(body)) == []
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", header, secret, tolerance=10**9)


def test_the_signature_is_stripes() -> None:
    ours = signature("whsec_x", b'{"a": 1}', NOW)
    theirs = stripe.WebhookSignature.generate_signature_header('{"a": 1}', "whsec_x", timestamp=NOW)
    assert ours == theirs


async def test_a_thin_event_names_its_object_and_is_fetched(simulator: Simulator, receiver: Receiver) -> None:
    sent = await simulator.client.post(
        "/v2/core/event_destinations",
        json={
            "name": "ours",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": ["v1.billing.meter.error_report_triggered"],
            "webhook_endpoint": {"url": receiver.url},
            "include": ["webhook_endpoint.signing_secret"],
        },
    )
    secret = sent.json()["webhook_endpoint"]["signing_secret"]
    meter = {"id": "mtr_1", "object": "billing.meter"}
    data = {"developer_message_summary": "one"}
    with simulator.world.call():
        simulator.world.emit_thin("v1.billing.meter.error_report_triggered", meter, data)
    await _settle(simulator)
    body, header = receiver.taken[0]
    client = StripeClient("sk_test_x")
    note = client.parse_event_notification(body, header, secret, tolerance=10**9)
    assert note.related_object.id == "mtr_1"  # type: ignore[union-attr]
    assert "data" not in json.loads(body)
    fetched = (await simulator.client.get(f"/v2/core/events/{note.id}")).json()
    assert fetched["data"] == data


async def test_an_endpoint_gets_what_it_asked_for_only(simulator: Simulator, receiver: Receiver) -> None:
    await _listen(simulator, receiver, "customer.updated")
    customer = (await simulator.call("POST", "/v1/customers", {"name": "a"}))["id"]
    await simulator.call("POST", f"/v1/customers/{customer}", {"name": "b"})
    await _settle(simulator)
    assert receiver.types == ["customer.updated"]
    assert json.loads(receiver.taken[0][0])["data"]["previous_attributes"] == {"name": "a"}


async def test_a_refused_delivery_is_repeated_and_listed_until_it_is_taken(
    simulator: Simulator, receiver: Receiver
) -> None:
    await _listen(simulator, receiver)
    receiver.refuse = 2
    await simulator.call("POST", "/v1/customers")
    await _settle(simulator)
    missed = await simulator.call("GET", "/v1/events", {"delivery_success": "false"})
    assert [event["pending_webhooks"] for event in missed["data"]] == [1]
    await _settle(simulator)
    assert receiver.tries == 1  # not due yet
    for expected in (2, 3):
        simulator.time.seconds += 60
        await _settle(simulator)
        assert receiver.tries == expected
    assert (await simulator.call("GET", "/v1/events", {"delivery_success": "false"}))["data"] == []
    simulator.time.seconds += 86_400
    await _settle(simulator)
    assert receiver.tries == 3


async def test_tries_end_after_three_days(simulator: Simulator, receiver: Receiver) -> None:
    await _listen(simulator, receiver)
    receiver.refuse = 100
    await simulator.call("POST", "/v1/customers")
    for _ in range(20):
        await _settle(simulator)
        simulator.time.seconds += 86_400
    assert receiver.tries == 11
    assert simulator.world.find("_delivery") == []
    assert len((await simulator.call("GET", "/v1/events", {"delivery_success": "false"}))["data"]) == 1


async def test_webhooks_can_be_repeated_lost_and_late(simulator: Simulator, receiver: Receiver) -> None:
    await _listen(simulator, receiver)
    await simulator.put_faults(webhooks={"duplicate": 1})
    await simulator.call("POST", "/v1/customers")
    await _settle(simulator)
    assert len(receiver.taken) == 3
    assert len({taken[0] for taken in receiver.taken}) == 1

    await simulator.put_faults(webhooks={"lose": 1})
    await simulator.call("POST", "/v1/customers")
    await _settle(simulator)
    assert len(receiver.taken) == 3
    assert len((await simulator.call("GET", "/v1/events", {"delivery_success": "false"}))["data"]) == 1

    await simulator.put_faults(webhooks={"delay": 1, "delay_s": 30})
    await simulator.call("POST", "/v1/customers")
    await _settle(simulator)
    assert len(receiver.taken) == 3
    simulator.time.seconds += 30
    await _settle(simulator)
    assert len(receiver.taken) == 4


async def test_webhooks_can_come_in_any_order(simulator: Simulator, receiver: Receiver) -> None:
    await _listen(simulator, receiver)
    await simulator.put_faults(seed=3, webhooks={"shuffle": True, "shuffle_s": 0.2})
    made = [(await simulator.call("POST", "/v1/customers"))["id"] for _ in range(8)]
    await _settle(simulator)
    came = [json.loads(body)["data"]["object"]["id"] for body, _ in receiver.taken]
    assert sorted(came) == sorted(made)
    assert came != made


async def test_a_disabled_endpoint_gets_nothing(simulator: Simulator, receiver: Receiver) -> None:
    await _listen(simulator, receiver)
    endpoint = (await simulator.call("GET", "/v1/webhook_endpoints"))["data"][0]
    assert "secret" not in endpoint
    await simulator.call("POST", f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "true"})
    await simulator.call("POST", "/v1/customers")
    await _settle(simulator)
    assert receiver.tries == 0
    gone = await simulator.call("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")
    assert gone["deleted"] is True


def test_receivers_of_the_configuration_are_there_once_with_todays_address_and_secret(tmp_path: Path) -> None:
    for port, secret in ((8000, "whsec_first"), (8001, "whsec_second")):
        url = f"http://127.0.0.1:{port}/hooks"
        told = SimulatorConfig(port=1, api_key="sk_test_x", webhook_url=url, webhook_secret=secret)
        world = World(path=tmp_path / "state.sqlite")
        keep_receivers(world, told)
        keep_receivers(world, told)
        (endpoint,) = world.find("webhook_endpoint")
        (destination,) = world.find("v2.core.event_destination")
        assert (endpoint["url"], endpoint["_secret"], endpoint["enabled_events"]) == (url, secret, ["*"])
        assert (destination["_url"], destination["_secret"], destination["event_payload"]) == (url, secret, "thin")
        world.close()
