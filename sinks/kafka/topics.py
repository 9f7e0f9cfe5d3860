"""Creates our topics as exact counting needs them, and checks that a log is still the one we counted from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from metering import topics
from runtime.errors import RefusedToStart, Unavailable
from runtime.settings import KafkaSettings
from sinks.kafka.connection import client_options
from sinks.kafka.topic_identity import TopicIdentity, identify_topic

# An event counts up to 35 days back and duplicates are known for 36: a log kept for less cannot rebuild what it must.
_MIN_RETENTION_MS = 40 * 86_400_000


def topic_name(settings: KafkaSettings, name: str) -> str:
    """Return the topic's name on this broker."""
    return settings.topic_prefix + name


@asynccontextmanager
async def admin_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client.

    Raises: Unavailable when Kafka does not answer, then and during the block.
    """
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=15_000)
    try:
        await admin.start()
        yield admin
    except KafkaError as exc:
        raise Unavailable(f"Kafka does not answer at {settings.bootstrap_servers}: {exc}") from exc
    finally:
        await admin.close()


async def create_topics(settings: KafkaSettings) -> list[str]:
    """Create what is missing of our topics and return their names; safe to repeat.

    Raises: RefusedToStart for a retention below 40 days, Unavailable.
    """
    if 0 <= settings.retention_ms < _MIN_RETENTION_MS:
        raise RefusedToStart("METERSTREAM_KAFKA__RETENTION_MS is below 40 days: set it to -1 (keep all) or more.")
    async with admin_client(settings) as admin:
        created = []
        for name in (topics.USAGE_EVENTS, topics.STRIPE_EVENTS, topics.BILLING_CHANGES):
            topic = NewTopic(
                topic_name(settings, name),
                settings.partitions,
                settings.replication_factor,
                topic_configs={
                    "cleanup.policy": "delete",
                    "retention.ms": str(settings.retention_ms),
                    "retention.bytes": "-1",
                    "message.timestamp.type": "LogAppendTime",
                    "min.insync.replicas": str(settings.min_insync_replicas),
                    "unclean.leader.election.enable": "false",
                },
            )
            answer = await admin.create_topics([topic])
            error = for_code(answer.topic_errors[0][1])
            if error.errno == 0:
                # The controller answers before the brokers know.
                while await identify_topic(admin, topic.name) is None:
                    await asyncio.sleep(0.05)
                created.append(topic.name)
            elif error is not TopicAlreadyExistsError:
                raise error(answer.topic_errors[0][2])
        return created


async def check_topic(settings: KafkaSettings, name: str) -> TopicIdentity:
    """Return the identity of a topic whose configuration keeps counting exact.

    Raises: RefusedToStart with the reason and the way out, Unavailable.
    """
    topic = topic_name(settings, name)
    async with admin_client(settings) as admin:
        identity = await identify_topic(admin, topic)
        if identity is None:
            raise RefusedToStart(f"Topic {topic} does not exist: run `meterstream migrate`.")
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        (answer,) = await admin.describe_configs([resource])
        config = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    if identity.partitions != settings.partitions:
        raise RefusedToStart(
            f"Topic {topic} has {identity.partitions} partitions and METERSTREAM_KAFKA__PARTITIONS says "
            f"{settings.partitions}. A subject's home depends on that number: set it to {identity.partitions}; more "
            "partitions need a new topic version."
        )
    if config.get("message.timestamp.type") != "LogAppendTime":
        raise RefusedToStart(
            f"Topic {topic} lets producers stamp records (CreateTime): set message.timestamp.type=LogAppendTime."
        )
    if config.get("cleanup.policy") != "delete":
        raise RefusedToStart(f"Topic {topic} is compacted, which loses events: set cleanup.policy=delete.")
    retention_ms = int(config.get("retention.ms", "-1"))
    if 0 <= retention_ms < _MIN_RETENTION_MS:
        raise RefusedToStart(f"Topic {topic} keeps less than 40 days: set retention.ms=-1 (or at least 40 days).")
    return identity
