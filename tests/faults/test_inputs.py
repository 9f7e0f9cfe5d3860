"""Whatever is sent ends as what it is: counted once, a duplicate, a dead letter with its reason, or not at all."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter

import httpx
import pytest

from metering.blocks import Outcome
from metering.partitions import home_partition
from metering.rejections import Code
from tests.faults.bad_bodies import BAD_BODIES, HUGE_BODY
from tests.faults.events import Identity, Sending
from tests.faults.scene import Scene
from tests.faults.sender import transaction

pytestmark = pytest.mark.faults


def _event(scene: Scene, number: int, *, subject: str = "customer-1", **more: object) -> Sending:
    body = {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "/app",
        "type": "request",
        "subject": subject,
        "organization": "acme",
        "data": {"tokens": number, "model": "m", "region": "eu", "latency": 1},
        **more,
    }
    home = home_partition(subject, scene.settings.kafka.partitions)
    identity = Identity("acme", subject, "/app", body["id"])  # type: ignore[arg-type]
    return Sending(home, subject.encode(), json.dumps(body).encode(), (), identity)


def test_every_kind_of_bad_body_is_a_dead_letter_and_delays_nobody(calm: Scene) -> None:
    calm.worker()
    sender = calm.kafka_sender()
    partitions = range(calm.settings.kafka.partitions)
    neighbours = (_event(calm, number, subject=f"customer-{number % 50}") for number in itertools.count())
    for partition in partitions:
        for raw, _ in [*BAD_BODIES, (HUGE_BODY, Code.TOO_LARGE)]:
            sender.send([Sending(partition, None, raw), next(neighbours)])
    sender.send([_with_headers(calm, b"\xff"), _with_headers(calm, b""), _with_headers(calm, b"a\nb")])
    sender.flush()
    found = calm.assert_exact(sender.acked)
    wanted = Counter(str(code) for _, code in BAD_BODIES for _ in partitions)
    wanted[Code.TOO_LARGE] += len(partitions)
    wanted[Code.INVALID_HEADER] += 3
    assert found.codes() == wanted
    codes = dict(calm.sql("select code, count(*) from dead_letters group by 1"))
    assert codes == wanted
    assert calm.sql("select max(length(raw)), max(raw_bytes) > 10000000 from dead_letters") == [(65_536, True)]


def _with_headers(scene: Scene, organization: bytes) -> Sending:
    good = _event(scene, 0)
    return Sending(good.partition, good.key, good.value, (("organization", organization),))


@pytest.mark.long
def test_bad_bodies_slow_their_neighbours_down_only_so_much(calm: Scene) -> None:
    """Half of all records unusable, or conflicts with events long ago: a minute's load is counted within seconds."""
    calm.worker()
    sender = calm.kafka_sender()
    sender.send(_event(calm, number, subject=f"customer-{number % 50}") for number in range(4_000))
    sender.flush()
    calm.settle()
    for number in range(4_000):
        again = {"data": {"tokens": -number}} if number % 4 == 0 else {}
        sender.send([_event(calm, number, subject=f"customer-{number % 50}", **again)])
        sender.send([Sending(number % 4, None, BAD_BODIES[number % len(BAD_BODIES)][0] or b"x")] if number % 40 else [])
    sender.flush()
    calm.settle(timeout_s=60)
    found = calm.assert_exact(sender.acked)
    assert found.codes()[Code.CONFLICT] == 1_000
    assert found.outcomes()[Outcome.COUNTED] == 4_000


def test_a_flood_of_repeats_counts_once(calm: Scene) -> None:
    calm.worker()
    sender = calm.kafka_sender()
    events = [_event(calm, number, subject=f"customer-{number % 7}") for number in range(100)]
    for _ in range(200):
        sender.send(events)
    sender.flush()
    found = calm.assert_exact(sender.acked)
    assert found.outcomes() == {Outcome.COUNTED: 100, Outcome.DUPLICATE: 19_900}


def test_the_same_event_over_http_and_through_librdkafkas_own_partitioner_counts_once(calm: Scene) -> None:
    calm.worker("metering")
    calm.worker("warehouse", WORKER__LOAD_WAIT_S="0.2")
    calm.api()
    client = calm.http_sender()._client
    events = [_event(calm, number, subject=f"customer-{number}") for number in range(600)]
    direct = calm.kafka_sender()  # its default, consistent_random, is not Kafka's murmur2
    direct.send(events[:400], choose_partition=False)
    bodies = [json.loads(event.value or b"") for event in events]
    answer = client.post("/api/v1/events", json=bodies, headers={"Content-Type": "application/cloudevents-batch+json"})
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 600, "rejected": []}
    direct.send(events[300:], choose_partition=False)
    direct.flush()
    client.close()
    found = calm.assert_exact({event.identity for event in events if event.identity}, warehouse=True)
    outcomes = found.outcomes()
    assert outcomes[Outcome.COUNTED] == 600
    assert outcomes[Outcome.FORWARDED] > 200
    assert outcomes[Outcome.DUPLICATE] == 700
    assert found.codes() == {}


def test_aborted_transactions_count_nothing(calm: Scene) -> None:
    calm.worker("metering", WORKER__BLOCK_MAX_RECORDS="50")
    calm.worker("warehouse", WORKER__LOAD_WAIT_S="0.1")
    partitions = calm.settings.kafka.partitions
    numbers = itertools.count()
    wanted = set()
    for attempt in range(12):
        commit = attempt % 3 == 0
        name = f"{calm.topic}-{attempt % 2}"
        sendings = [
            _event(calm, number, subject=f"customer-{number % (3 * partitions)}")
            for number in itertools.islice(numbers, 120)
        ]
        with transaction(calm.settings.kafka, calm.topic, name=name, commit=commit) as send:
            send(sendings)
        if commit:
            wanted |= {sending.identity for sending in sendings if sending.identity}
        if attempt == 5:
            calm.settle(warehouse=True)
    found = calm.assert_exact(wanted, warehouse=True)
    assert found.outcomes() == {Outcome.COUNTED: 480}


def test_an_open_transaction_holds_its_partition_and_loses_nothing(calm: Scene) -> None:
    worker = calm.worker()
    worker.wait_for_log("partitions assigned")
    sender = calm.kafka_sender()
    with transaction(calm.settings.kafka, calm.topic, name=f"{calm.topic}-open", commit=True) as send:
        send(_event(calm, number) for number in range(50))
        sender.send(_event(calm, number) for number in range(100, 110))
        sender.flush()
        time.sleep(1)
        assert calm.records_decided() == 0
        send(_event(calm, number) for number in range(40, 60))
    found = calm.assert_exact(sender.acked)
    assert found.outcomes() == {Outcome.COUNTED: 70, Outcome.DUPLICATE: 10}


def test_out_of_order_and_late_events_count_in_their_own_minute(calm: Scene) -> None:
    calm.worker("metering")
    calm.worker("warehouse", WORKER__LOAD_WAIT_S="0.2")
    now = time.time()
    ages_s = [0, 59, 61, 3_600, 86_400 * 34, 86_400 * 34.9, 86_400 * 35.1, -240, -360, 5, 86_400 * 20]
    sender = calm.kafka_sender()
    for number, age_s in enumerate(itertools.islice(itertools.cycle(ages_s), 330)):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - age_s)) + ("Z", "+00:00", ".25Z")[number % 3]
        event = _event(calm, number, subject=f"customer-{number % 5}", time=at, type=("request", "seats")[number % 2])
        sender.send([event if age_s not in (86_400 * 35.1, -360) else Sending(event.partition, None, event.value)])
    sender.flush()
    found = calm.assert_exact(sender.acked, warehouse=True)
    assert found.codes()[Code.TIME_TOO_OLD] == found.codes()[Code.TIME_TOO_NEW] == 30
    assert found.outcomes()[Outcome.COUNTED] == 270


@pytest.mark.long
def test_bad_input_over_http_is_refused_event_by_event(calm: Scene) -> None:
    calm.worker()
    calm.api()
    client: httpx.Client = calm.http_sender()._client
    bodies: list[bytes] = []
    wanted = 0
    for number, (raw, code) in enumerate(BAD_BODIES):
        good = _event(calm, number).value
        assert good is not None
        if raw and code in (Code.MISSING_FIELD, Code.INVALID_FIELD, Code.RESERVED_TYPE, Code.INVALID_TIME):
            bodies += [raw, good]
            wanted += 1
    answer = client.post(
        "/api/v1/events",
        content=b"[" + b",".join(bodies) + b"]",
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    client.close()
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == len(bodies) - wanted
    assert [rejection["index"] for rejection in answer.json()["rejected"]] == list(range(0, 2 * wanted, 2))
    found = calm.assert_exact()
    assert found.outcomes() == {Outcome.COUNTED: wanted}
