"""Sends straight to Kafka through the two clients that programs use most; each picks partitions in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from devstack.demo.sendings import Sending
from metering.records import ORGANIZATION_HEADER
from runtime.errors import Unavailable
from runtime.settings import KafkaSettings
from sinks.kafka.connection import client_options

_TIMEOUT_S = 60.0


async def send_with_aiokafka(settings: KafkaSettings, topic: str, sendings: Sequence[Sending]) -> list[int]:
    """Return the partition of each record, once all are stored. Raises: Unavailable, and aiokafka's errors."""
    producer = AIOKafkaProducer(**client_options(settings), acks="all", enable_idempotence=True, linger_ms=5)
    async with asyncio.timeout(_TIMEOUT_S), producer:
        futures = [
            await producer.send(topic, value=sending.body, key=sending.key.encode(), headers=_headers(sending))
            for sending in sendings
        ]
        return [record.partition for record in await asyncio.gather(*futures)]


async def send_with_librdkafka(settings: KafkaSettings, topic: str, sendings: Sequence[Sending]) -> list[int]:
    """Return the partition of each record, once all are stored. Raises: Unavailable."""
    return await asyncio.to_thread(_produce, settings, topic, sendings)


def _produce(settings: KafkaSettings, topic: str, sendings: Sequence[Sending]) -> list[int]:
    producer = Producer(_librdkafka_options(settings))
    partitions: dict[int, int] = {}
    failures: list[str] = []
    for number, sending in enumerate(sendings):

        def delivered(error: KafkaError | None, message: Message, number: int = number) -> None:
            partition = message.partition()
            if error is None and partition is not None:
                partitions[number] = partition
            else:
                failures.append(str(error))

        try:
            producer.produce(
                topic, sending.body, sending.key.encode(), headers=_headers(sending), on_delivery=delivered
            )
        except (BufferError, KafkaException) as exc:
            raise Unavailable(f"librdkafka takes no record: {exc}") from exc
        producer.poll(0)
    unsent = producer.flush(_TIMEOUT_S)
    if unsent or failures:
        raise Unavailable(f"Kafka did not confirm {unsent + len(failures)} records: {failures[:1] or 'time-out'}.")
    return [partitions[number] for number in range(len(sendings))]


def _headers(sending: Sending) -> list[tuple[str, Any]]:
    return [] if sending.organization is None else [(ORGANIZATION_HEADER, sending.organization.encode())]


def _librdkafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Say the settings in librdkafka's words; the partitioner is left as it comes."""
    password = settings.sasl_password
    options: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "security.protocol": settings.security_protocol,
        "ssl.ca.location": settings.ssl_ca_file,
        "ssl.certificate.location": settings.ssl_cert_file,
        "ssl.key.location": settings.ssl_key_file,
        "sasl.username": settings.sasl_username,
        "sasl.password": None if password is None else password.get_secret_value(),
        "sasl.mechanism": settings.sasl_mechanism if password is not None else None,
    }
    return {
        name: str(value) if not isinstance(value, bool) else value
        for name, value in options.items()
        if value is not None
    }
