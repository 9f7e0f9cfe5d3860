"""A metered log of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.kafka.log_reader import LogReader
from sinks.kafka.topics import check_topic, create_topics
from tests.integration.streams.metered_log import MeteredLog, metered_log


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[MeteredLog]:
    """Records, journal and an empty warehouse."""
    await create_topics(settings.kafka)
    identity = await check_topic(settings.kafka, USAGE_EVENTS)
    async with LogReader(settings.kafka, identity.topic) as reader:
        with metered_log(settings, identity, reader) as found:
            yield found
