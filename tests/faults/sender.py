"""Sends load from a thread, and keeps the books of what was acknowledged."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx
from confluent_kafka import Message, Producer

from runtime.settings import KafkaSettings
from tests.faults.events import EventStream, Identity, Sending

_BATCH = 100
_FLUSH_S = 60.0


class KafkaSender:
    """Produces as a careful client does: all replicas, idempotent, retrying for minutes."""

    def __init__(self, settings: KafkaSettings, topic: str, **more: Any) -> None:
        self.sent = 0
        self.acked: set[Identity] = set()
        """Well-formed events that Kafka confirmed: each must be counted, once."""
        self._topic = topic
        self._failures: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": 12_000_000,
                "delivery.timeout.ms": 240_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
                **more,
            }
        )

    def send(self, sendings: Iterable[Sending], *, choose_partition: bool = True) -> None:
        """Produce; with `choose_partition` false the client's own partitioner decides by the key."""
        for sending in sendings:
            self._producer.produce(
                self._topic,
                sending.value,
                sending.key,
                headers=list(sending.headers),
                on_delivery=lambda error, _, identity=sending.identity: self._delivered(error, identity),
                **({"partition": sending.partition} if choose_partition else {}),
            )
            self.sent += 1
            self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is confirmed."""
        left = self._producer.flush(_FLUSH_S)
        assert not left, f"{left} records were not confirmed within {_FLUSH_S:.0f} s"
        assert not self._failures, self._failures[:3]

    def _delivered(self, error: object, identity: Identity | None) -> None:
        if error is not None:
            self._failures.append(str(error))
        elif identity is not None:
            self.acked.add(identity)


class HttpSender:
    """Posts batches of well-formed events as a careful client does: the same batch again until a 200."""

    def __init__(self, url: str, key: str) -> None:
        self.sent = 0
        self.repeated = 0
        self.acked: set[Identity] = set()
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def send(self, stream: EventStream, *, give_up_s: float = 60.0) -> None:
        """Send the stream's next batch."""
        sendings = list(itertools.islice(_acme(stream), _BATCH))
        bodies = [json.loads(sending.value or b"") for sending in sendings]
        deadline = time.monotonic() + give_up_s
        while (answer := self._post(bodies)) is None:
            assert time.monotonic() < deadline, f"the API took no batch for {give_up_s:.0f} s"
            self.repeated += 1
            time.sleep(0.1)
        self.sent += len(bodies)
        rejected = {rejection["index"]: rejection["code"] for rejection in answer["rejected"]}
        assert set(rejected.values()) <= {"INVALID_NUMBER"}, rejected
        self.acked |= {
            sending.identity
            for index, sending in enumerate(sendings)
            if sending.identity is not None and index not in rejected
        }

    def flush(self) -> None:
        """Close the connection; `send` has waited for every answer."""
        self._client.close()

    def _post(self, bodies: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the answer, or None where the whole batch has to be sent again."""
        try:
            answer = self._client.post(
                "/api/v1/events", json=bodies, headers={"Content-Type": "application/cloudevents-batch+json"}
            )
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["accepted"] + len(found["rejected"]) == len(bodies)
        return found


def _acme(stream: EventStream) -> Iterator[Sending]:
    while True:
        sending = stream.new_event()
        if sending.identity is not None and sending.identity.organization == "acme":
            yield sending


class Load:
    """Sends batches from a thread, at most `per_s` a second, until the block ends; then flushes."""

    def __init__(self, sender: KafkaSender | HttpSender, stream: EventStream, *, per_s: float) -> None:
        self.sender = sender
        self._stream = stream
        self._per_s = per_s
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=120)
        assert not self._thread.is_alive(), "the load did not stop"
        if self._failure is not None:
            raise self._failure
        if kind is None:
            self.sender.flush()

    def _run(self) -> None:
        records = iter(self._stream)
        try:
            while not self._stop.wait(1 / self._per_s):
                if isinstance(self.sender, HttpSender):
                    self.sender.send(self._stream)
                else:
                    self.sender.send(itertools.islice(records, _BATCH))
        except BaseException as exc:
            self._failure = exc


@contextmanager
def transaction(
    settings: KafkaSettings, topic: str, *, name: str, commit: bool
) -> Iterator[Callable[[Iterable[Sending]], None]]:
    """Give a function that produces within one transaction, which is committed or aborted at the end."""
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "transactional.id": name, "log_level": 0, "linger.ms": 5}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    failures: list[object] = []

    def delivered(error: object, _: Message) -> None:
        if error is not None:
            failures.append(error)

    def send(sendings: Iterable[Sending]) -> None:
        for sending in sendings:
            producer.produce(
                topic,
                sending.value,
                sending.key,
                partition=sending.partition,
                headers=list(sending.headers),
                on_delivery=delivered,
            )
        # Also what is aborted has to be in the log, or nothing would be tried.
        assert producer.flush(30) == 0
        assert not failures, failures[:1]

    yield send
    (producer.commit_transaction if commit else producer.abort_transaction)(30)
