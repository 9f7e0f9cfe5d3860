"""What the simulator delivers, judged by Stripe's library and by us: as it came, and as others could send it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe
from pydantic import SecretStr

from runtime.clock import utc_now
from runtime.errors import InvalidToken
from sinks.stripe.client import StripeGateway
from sinks.stripe.webhooks import SnapshotEvent, ThinEvent, verify
from tests.contract.business import Business
from tests.contract.scenes import catalogue, subscriptions
from tests.engines import wait_for
from tests.stripe_simulator import checked_simulator

_FOREIGN = "whsec_of_somebody_else"
_NAME = "Ärger & Söhne 日本 😀"


@dataclass(frozen=True)
class Delivery:
    """One request that came, and the secret of the receiver that it was for."""

    body: bytes
    header: str
    secret: str
    is_thin: bool = False

    def signed(self, *, secret: str | None = None, shift_s: int = 0) -> str:
        """Return a header that signs the body now, or at another time, or with another secret."""
        at = int(utc_now().timestamp()) + shift_s
        return str(
            stripe.WebhookSignature.generate_signature_header(  # type: ignore[no-untyped-call]
                self.body.decode(), secret or self.secret, timestamp=at
            )
        )


class _Receiver(ThreadingHTTPServer):
    """Takes deliveries, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.came: list[tuple[str, bytes, str]] = []


class _Taking(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, body, self.headers["Stripe-Signature"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""


@pytest.fixture(scope="module")
def deliveries() -> list[Delivery]:
    """All that comes while something is sold, and usage is sent that nobody can be billed for."""
    server = _Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with checked_simulator() as simulator, simulator.client() as api:
            destination = {
                "name": "ours",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": ["v1.billing.meter.error_report_triggered"],
                "webhook_endpoint": {"url": f"{url}/thin"},
                "include": ["webhook_endpoint.signing_secret"],
            }
            thin = api.post("/v2/core/event_destinations", json=destination).raise_for_status().json()
            secrets = {"/thin": thin["webhook_endpoint"]["signing_secret"]}

            async def sell() -> None:
                async with StripeGateway(simulator.settings) as gateway:
                    endpoint = await gateway.webhook_endpoints.create("hook", url=f"{url}/all", enabled_events=["*"])
                    secrets["/all"] = endpoint["secret"]
                    business = Business(gateway, api)
                    await catalogue(business)
                    await subscriptions(business)
                    await gateway.customers.create("names", name=_NAME)
                    lost: Any = {"event_name": "tokens", "customer": "cus_none", "value": 1}
                    await gateway.meter_events.send(identifier="lost", at=utc_now(), **lost)

            asyncio.run(sell())
            wait_for("the thin event comes", lambda: any(path == "/thin" for path, *_ in server.came))
            wait_for("all is delivered", lambda: not simulator.objects("_delivery"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    return [Delivery(body, header, secrets[path], path == "/thin") for path, body, header in server.came]


@pytest.fixture(params=["snapshot", "thin"])
def delivery(request: pytest.FixtureRequest, deliveries: list[Delivery]) -> Delivery:
    """One of each kind."""
    return next(one for one in deliveries if one.is_thin == (request.param == "thin"))


def _library_reads(body: bytes, header: str, secret: str, *, is_thin: bool) -> str:
    """Return the event's id. Raises: stripe.SignatureVerificationError."""
    if is_thin:
        return str(stripe.StripeClient("sk_test_x").parse_event_notification(body, header, secret).id)
    return str(stripe.Webhook.construct_event(body, header, secret).id)  # type: ignore[no-untyped-call]


def test_every_delivery_is_taken_by_the_library_and_by_us(deliveries: list[Delivery]) -> None:
    secrets = [SecretStr(secret) for secret in {one.secret for one in deliveries}]
    assert len(secrets) == 2
    types, names = set(), set()
    for one in deliveries:
        sent = json.loads(one.body)
        assert _library_reads(one.body, one.header, one.secret, is_thin=one.is_thin) == sent["id"]
        event = verify(one.body, one.header, secrets, utc_now())
        assert isinstance(event, ThinEvent if one.is_thin else SnapshotEvent)
        assert (event.id, event.type, event.livemode) == (sent["id"], sent["type"], False)
        types.add(event.type)
        if event.type == "customer.created":
            names.add(event.body["data"]["object"]["name"])
    assert {"customer.subscription.created", "invoice.paid", "v1.billing.meter.error_report_triggered"} <= types
    assert _NAME in names


def _shifted(header: str) -> str:
    at, _, signatures = header.partition(",")
    return f"t={int(at.removeprefix('t=')) + 1},{signatures}"


_Change = Callable[[Delivery], tuple[bytes, str]]
_INVALID, _MALFORMED = "WEBHOOK_SIGNATURE_INVALID", "WEBHOOK_SIGNATURE_MALFORMED"
_CHANGES: dict[str, tuple[_Change, bool, str | None]] = {
    # What is sent, whether the library takes it, and by which code we refuse it.
    "within five minutes": (lambda one: (one.body, one.signed(shift_s=-240)), True, None),
    "a little ahead": (lambda one: (one.body, one.signed(shift_s=200)), True, None),
    "by an old secret too": (
        lambda one: (one.body, f"{one.signed(secret=_FOREIGN)},{one.signed().partition(',')[2]}"),
        True,
        None,
    ),
    "old": (lambda one: (one.body, one.signed(shift_s=-301)), False, "WEBHOOK_TIMESTAMP_INVALID"),
    # The library looks back only.
    "future": (lambda one: (one.body, one.signed(shift_s=900)), True, "WEBHOOK_TIMESTAMP_INVALID"),
    "tampered": (lambda one: (one.body.replace(b"evt_", b"evt_x", 1), one.header), False, _INVALID),
    "longer by a space": (lambda one: (one.body + b" ", one.header), False, _INVALID),
    "by another secret": (lambda one: (one.body, one.signed(secret=_FOREIGN)), False, _INVALID),
    "with another time": (lambda one: (one.body, _shifted(one.header)), False, _INVALID),
    "unsigned": (lambda one: (one.body, ""), False, "WEBHOOK_SIGNATURE_MISSING"),
    "by another scheme": (lambda one: (one.body, one.header.replace("v1=", "v0=")), False, _MALFORMED),
    "without a time": (lambda one: (one.body, one.header.partition(",")[2]), False, _MALFORMED),
    "nonsense": (lambda one: (one.body, "nonsense"), False, _MALFORMED),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_the_library_and_we_judge_what_could_come_instead(delivery: Delivery, change: str) -> None:
    make, library_takes, code = _CHANGES[change]
    body, header = make(delivery)
    if library_takes:
        _library_reads(body, header, delivery.secret, is_thin=delivery.is_thin)
    else:
        with pytest.raises(stripe.SignatureVerificationError):
            _library_reads(body, header, delivery.secret, is_thin=delivery.is_thin)
    if code is None:
        verify(body, header, [SecretStr(delivery.secret)], utc_now())
    else:
        with pytest.raises(InvalidToken) as refused:
            verify(body, header, [SecretStr(delivery.secret)], utc_now())
        assert refused.value.code == code


def test_the_secret_of_one_receiver_is_not_good_for_the_other(delivery: Delivery, deliveries: list[Delivery]) -> None:
    other = next(one.secret for one in deliveries if one.secret != delivery.secret)
    with pytest.raises(InvalidToken):
        verify(delivery.body, delivery.header, [SecretStr(other)], utc_now())
    verify(delivery.body, delivery.header, [SecretStr(other), SecretStr(delivery.secret)], utc_now())
