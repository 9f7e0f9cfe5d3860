"""Topics: made right, and refused with the reason when they cannot be counted from exactly."""

from __future__ import annotations

import pytest
from aiokafka.admin import NewTopic

from runtime.errors import RefusedToStart
from runtime.settings import Settings
from sinks.kafka.topics import admin_client, check_topic, create_topics, topic_name

pytestmark = pytest.mark.integration
NAME = "usage.events.v1"


async def _make(settings: Settings, partitions: int = 4, **config: str) -> None:
    topic = NewTopic(topic_name(settings.kafka, NAME), partitions, 1, topic_configs=config)
    async with admin_client(settings.kafka) as admin:
        answer = await admin.create_topics([topic])
        assert answer.topic_errors[0][1] == 0


async def test_made_once_and_found_right(settings: Settings) -> None:
    names = (NAME, "stripe.events.v1", "billing.changes.v1")
    assert await create_topics(settings.kafka) == [topic_name(settings.kafka, name) for name in names]
    assert await create_topics(settings.kafka) == []
    identity = await check_topic(settings.kafka, NAME)
    assert identity.partitions == 4
    assert identity == await check_topic(settings.kafka, NAME)


async def test_missing_topic(settings: Settings) -> None:
    with pytest.raises(RefusedToStart, match="meterstream migrate"):
        await check_topic(settings.kafka, NAME)


@pytest.mark.parametrize(
    ("config", "partitions", "reason"),
    [
        ({"message.timestamp.type": "CreateTime"}, 4, "LogAppendTime"),
        ({"message.timestamp.type": "LogAppendTime", "cleanup.policy": "compact"}, 4, "compacted"),
        ({"message.timestamp.type": "LogAppendTime", "retention.ms": "86400000"}, 4, "40 days"),
        ({"message.timestamp.type": "LogAppendTime"}, 5, "has 5 partitions"),
    ],
)
async def test_a_topic_that_cannot_be_counted_exactly_is_refused(
    settings: Settings, config: dict[str, str], partitions: int, reason: str
) -> None:
    await _make(settings, partitions, **config)
    with pytest.raises(RefusedToStart, match=reason):
        await check_topic(settings.kafka, NAME)


async def test_a_topic_made_anew_has_another_identity(settings: Settings) -> None:
    await create_topics(settings.kafka)
    before = await check_topic(settings.kafka, NAME)
    async with admin_client(settings.kafka) as admin:
        await admin.delete_topics([before.topic])
    for _ in range(100):
        if await create_topics(settings.kafka):
            break
    after = await check_topic(settings.kafka, NAME)
    assert after.topic_id != before.topic_id
    assert after.cluster_id == before.cluster_id


async def test_short_retention_is_refused_before_anything_is_made(settings: Settings) -> None:
    short = settings.kafka.model_copy(update={"retention_ms": 1_000})
    with pytest.raises(RefusedToStart, match="40 days"):
        await create_topics(short)
