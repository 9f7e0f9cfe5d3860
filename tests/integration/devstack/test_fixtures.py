"""What every integration test relies on: three engines that answer, and nothing left over between tests."""

from __future__ import annotations

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from runtime.settings import Settings
from tests.engines import database_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_fresh_migrated_postgres(settings: Settings, turn: int) -> None:
    with psycopg.connect(settings.postgres.url.get_secret_value()) as connection:
        migrated = connection.execute("select count(*) from schema_migrations").fetchone()
        connection.execute("create table left_over (turn int)")
        connection.execute("insert into left_over values (%s)", (turn,))
    assert migrated is not None
    assert migrated[0] > 0


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_fresh_clickhouse(clickhouse: Client, turn: int) -> None:
    assert clickhouse.query("show tables").result_rows == []
    clickhouse.command("create table left_over (turn UInt8) engine = MergeTree order by turn")
    clickhouse.insert("left_over", [[turn]], column_names=["turn"])
    assert clickhouse.query("select turn from left_over").result_rows == [(turn,)]


def test_kafka_stores_what_it_acknowledged(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(timeout=10)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "acks": "all"})
    producer.produce(topic, b"hello")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka_bootstrap, "group.id": topic_prefix, "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        assert message is not None
        assert message.value() == b"hello"
    finally:
        consumer.close()


def test_an_unknown_topic_is_not_made_by_a_typo(kafka_bootstrap: str, topic_prefix: str) -> None:
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "message.timeout.ms": 1500})
    failures: list[object] = []
    producer.produce(f"{topic_prefix}typo", b"x", on_delivery=lambda error, _: failures.append(error))
    producer.flush(10)
    assert failures[0] is not None
    known = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=10).topics
    assert f"{topic_prefix}typo" not in known


def test_settings_name_the_fresh_database(settings: Settings, postgres_url: str) -> None:
    assert database_of(settings.postgres.url.get_secret_value()) == database_of(postgres_url)
