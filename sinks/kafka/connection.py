"""How every Kafka client of ours connects: addresses, TLS and SASL, from the settings to aiokafka's arguments."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from runtime.errors import RefusedToStart
from runtime.settings import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that producers, consumers and admin clients share.

    Raises: RefusedToStart when a certificate file cannot be used or SASL lacks its user or password.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()],
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        if settings.sasl_username is None or settings.sasl_password is None:
            raise RefusedToStart(
                "Kafka's security protocol is SASL: set METERSTREAM_KAFKA__SASL_USERNAME and …__SASL_PASSWORD."
            )
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_ca_file, certfile=settings.ssl_cert_file, keyfile=settings.ssl_key_file
        )
        return context
    except (OSError, ssl.SSLError) as exc:
        raise RefusedToStart(f"Kafka's TLS files cannot be used: {exc}") from exc
