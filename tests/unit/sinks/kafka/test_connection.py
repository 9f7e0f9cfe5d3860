from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.errors import RefusedToStart
from runtime.settings import KafkaSettings
from sinks.kafka.connection import client_options


def test_plain_connection_names_every_server() -> None:
    options = client_options(KafkaSettings(bootstrap_servers="a:9092, b:9092"))
    assert options == {"bootstrap_servers": ["a:9092", "b:9092"], "security_protocol": "PLAINTEXT"}


def test_sasl_over_tls_carries_both() -> None:
    options = client_options(
        KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="app",
            sasl_password=SecretStr("hush"),
        )
    )
    assert options["ssl_context"].check_hostname
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("app", "hush")


def test_sasl_without_a_password_is_refused() -> None:
    with pytest.raises(RefusedToStart, match="SASL_PASSWORD"):
        client_options(KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="app"))


def test_missing_certificate_is_refused_with_the_reason() -> None:
    with pytest.raises(RefusedToStart, match="TLS"):
        client_options(KafkaSettings(security_protocol="SSL", ssl_ca_file=Path("/nowhere/ca.pem")))
