"""Sends a plan over its three ways at once and notes what the senders were told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from devstack.demo.kafka_sending import send_with_aiokafka, send_with_librdkafka
from devstack.demo.sendings import Sending, Way
from runtime.settings import KafkaSettings
from sinks.http_api.client import ApiClient, IngestAnswer

_BATCH: Final = 250
_REQUESTS_AT_ONCE: Final = 4


@dataclass(slots=True)
class Told:
    """What the senders know: HTTP's answers, Kafka's confirmations, and where the records are."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    forwarded: int = 0
    """Records that are not at home: the workers have to send them there."""

    def hear(self, answer: IngestAnswer) -> None:
        """Add an answer over HTTP."""
        self.accepted += answer.accepted
        self.refused.update(rejected.code for rejected in answer.rejected)


class Sender:
    """Sends to one stack."""

    def __init__(self, kafka: KafkaSettings, topic: str, api: ApiClient) -> None:
        self._kafka = kafka
        self._topic = topic
        self._api = api
        self.told = Told()

    async def send(self, sendings: Sequence[Sending]) -> None:
        """Return when everything is answered or confirmed. Raises: Unavailable."""
        by_way = {way: [sending for sending in sendings if sending.way is way] for way in Way}
        _, aiokafka, librdkafka = await asyncio.gather(
            self._over_http(by_way[Way.HTTP]),
            send_with_aiokafka(self._kafka, self._topic, by_way[Way.AIOKAFKA]),
            send_with_librdkafka(self._kafka, self._topic, by_way[Way.LIBRDKAFKA]),
        )
        self._confirm(by_way[Way.AIOKAFKA], aiokafka)
        self._confirm(by_way[Way.LIBRDKAFKA], librdkafka)

    def _confirm(self, sendings: Sequence[Sending], partitions: Iterable[int]) -> None:
        for sending, partition in zip(sendings, partitions, strict=True):
            self.told.accepted += 1
            self.told.forwarded += sending.is_forwarded(partition, self._kafka.partitions)

    async def _over_http(self, sendings: Sequence[Sending]) -> None:
        turns = asyncio.Semaphore(_REQUESTS_AT_ONCE)

        async def batch(bodies: list[bytes]) -> None:
            async with turns:
                self.told.hear(await self._api.send_events(bodies))

        async def alone(body: bytes) -> None:
            async with turns:
                self.told.hear(await self._api.send_event(body))

        together = [sending.body or b"" for sending in sendings if not sending.alone]
        requests = [batch(together[start : start + _BATCH]) for start in range(0, len(together), _BATCH)]
        requests += [alone(sending.body or b"") for sending in sendings if sending.alone]
        await asyncio.gather(*requests)
