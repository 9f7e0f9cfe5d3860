"""A worker refuses a log that is not, or no longer, the one it counted from: exit code 3, and the way out."""

from __future__ import annotations

import shutil
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from cli.migrate import apply_all
from tests.engines import TestStack
from tests.faults.children import Child
from tests.faults.scene import Scene, scene

pytestmark = pytest.mark.faults
_REFUSED = 3


def _assert_refused(child: Child, *words: str) -> None:
    assert child.wait(timeout_s=60) == _REFUSED, child.tail()
    last = next(line for line in reversed(child.log().splitlines()) if '"refused to start"' in line)
    for word in words:
        assert word in last, last


def _admin(made: Scene) -> AdminClient:
    return AdminClient({"bootstrap.servers": made.settings.kafka.bootstrap_servers, "log_level": 0})


def _configure(made: Scene, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, made.topic, incremental_configs=[entry])
    admin = _admin(made)  # kept until its futures are done
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def _delete_topic(made: Scene) -> None:
    admin = _admin(made)
    admin.delete_topics([made.topic])[made.topic].result(20)
    made.wait("the topic is gone", lambda: made.topic not in admin.list_topics(timeout=10).topics)


def _counted_before(made: Scene) -> None:
    worker = made.worker("metering", "metering-before")
    made.assert_exact(made.send(801, 500).acked)
    assert worker.terminate() == 0
    made.children.clear()


@pytest.mark.parametrize("kind", ["metering", pytest.param("warehouse", marks=pytest.mark.long)])
def test_a_topic_that_was_made_anew(calm: Scene, kind: str) -> None:
    _counted_before(calm)
    _delete_topic(calm)
    apply_all(calm.settings)
    _assert_refused(calm.worker(kind), "made anew", "Restore the old topic", "METERSTREAM_KAFKA__TOPIC_PREFIX")


def test_a_topic_that_does_not_exist(calm: Scene) -> None:
    _delete_topic(calm)
    _assert_refused(calm.worker(), "does not exist", "meterstream migrate")


def test_another_partition_count(calm: Scene) -> None:
    _assert_refused(calm.worker(KAFKA__PARTITIONS="8"), "has 4 partitions", "says 8", "set it to 4")


def test_stamps_of_producers(calm: Scene) -> None:
    _configure(calm, "message.timestamp.type", "CreateTime")
    _assert_refused(calm.worker(), "CreateTime", "set message.timestamp.type=LogAppendTime")


def test_stamps_of_producers_while_a_worker_runs(calm: Scene) -> None:
    worker = calm.worker()
    calm.assert_exact(calm.send(802, 500).acked)
    _configure(calm, "message.timestamp.type", "CreateTime")
    calm.send(803, 100)
    _assert_refused(worker, "stamped by their producers", "LogAppendTime")
    assert calm.records_decided() < 600


def test_a_compacted_or_short_lived_topic(calm: Scene) -> None:
    _configure(calm, "retention.ms", str(39 * 86_400_000))
    _assert_refused(calm.worker("metering", "metering-short"), "40 days", "retention.ms=-1")
    _configure(calm, "retention.ms", "-1")
    _configure(calm, "cleanup.policy", "compact")
    _assert_refused(calm.worker("metering", "metering-compacted"), "compacted", "cleanup.policy=delete")


def test_another_cluster(calm: Scene, mortal_stack: TestStack) -> None:
    _counted_before(calm)
    with scene(mortal_stack) as other:
        topic = NewTopic(calm.topic, 4, 1, config={"message.timestamp.type": "LogAppendTime"})
        admin = _admin(other)
        admin.create_topics([topic])[calm.topic].result(20)
        child = calm.worker(KAFKA__BOOTSTRAP_SERVERS=other.settings.kafka.bootstrap_servers)
        _assert_refused(child, "another cluster", "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["metering", pytest.param("warehouse", marks=pytest.mark.long)])
def test_a_log_that_lost_its_end(mortal_stack: TestStack, kind: str) -> None:
    """Kafka comes back on an older copy of its disk."""
    with scene(mortal_stack) as made:
        worker = made.worker("metering", "metering-before")
        made.assert_exact(made.send(811, 500).acked)
        data = mortal_stack.embedded.kafka.state_dir / "kafka" / "data"
        copy = made.work_dir / "older copy"
        mortal_stack.stop_engine("kafka")
        shutil.copytree(data, copy)
        mortal_stack.restart_engine("kafka")
        made.assert_exact(made.send(812, 500).acked)
        assert worker.terminate() == 0
        mortal_stack.stop_engine("kafka")
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        mortal_stack.restart_engine("kafka")
        made.children.clear()
        time.sleep(0.5)
        _assert_refused(made.worker(kind), "lost records", "Restore the log", "METERSTREAM_KAFKA__TOPIC_PREFIX")


def test_a_log_whose_beginning_was_deleted_uncounted(calm: Scene) -> None:
    calm.send(821, 1_000)
    admin = _admin(calm)
    for future in admin.delete_records([TopicPartition(calm.topic, 1, 50)]).values():
        future.result(20)
    _assert_refused(calm.worker(), "partition 1, begins at 50", "deleted before it was counted")
