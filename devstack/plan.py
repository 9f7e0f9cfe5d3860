"""Decides what a stack consists of before anything starts: ports, passwords, and which parts are somebody else's."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from devstack import clickhouse, kafka, postgres, stripe, valkey
from devstack.ports import LOOPBACK, free_port
from devstack.service import SERVICES
from devstack.state import PartState, Secrets, Stack, identity_is_set, stripe_is_set
from runtime.settings import Settings

_USUAL_PORTS = {
    "kafka": kafka.USUAL_PORT,
    "kafka-controller": 9093,
    "postgres": postgres.USUAL_PORT,
    "clickhouse": clickhouse.USUAL_PORT,
    "valkey": valkey.USUAL_PORT,
    stripe.NAME: stripe.USUAL_PORT,
    **{spec.name: spec.usual_port for spec in SERVICES},
}

# Of parts that a stack from an earlier version does not have.
_LATER_SECRETS: dict[str, Callable[[], str]] = {
    "stripe_api_key": lambda: f"sk_test_{secrets.token_hex(24)}",
    "stripe_webhook_secret": lambda: f"whsec_{secrets.token_hex(24)}",
    "jwt_secret": lambda: secrets.token_urlsafe(48),
    "valkey_password": lambda: secrets.token_urlsafe(24),
}


def stack_for(settings: Settings, before: Stack | None, *, usual_ports: bool = True) -> Stack:
    """Return the stack to start: with the ports (where still free) and passwords that it had before."""
    state_dir = settings.state_dir.resolve()
    ports = _ports({} if before is None else before.ports, usual_ports=usual_ports)
    if "port" in settings.api.model_fields_set and settings.api.port:
        ports["api"] = settings.api.port
    known = None if before is None else before.secrets
    passwords = known or Secrets(
        postgres_password=secrets.token_urlsafe(24),
        clickhouse_password=secrets.token_urlsafe(24),
        dashboards_password=secrets.token_urlsafe(24),
    )
    missing = {name: make() for name, make in _LATER_SECRETS.items() if getattr(passwords, name) is None}
    passwords = passwords.model_copy(update=missing)
    return _describe(settings, state_dir, ports, passwords)


def _ports(before: dict[str, int], *, usual_ports: bool) -> dict[str, int]:
    """Return a port for each part: the one it had, else the usual one, else any; all of them free."""
    chosen: dict[str, int] = {}
    for name, usual in _USUAL_PORTS.items():
        port = free_port(before.get(name, usual if usual_ports else None))
        while port in chosen.values():
            port = free_port()
        chosen[name] = port
    return chosen


def _describe(settings: Settings, state_dir: Path, ports: dict[str, int], passwords: Secrets) -> Stack:
    kafka_set = "bootstrap_servers" in settings.kafka.model_fields_set
    postgres_set = "url" in settings.postgres.model_fields_set
    clickhouse_set = "url" in settings.clickhouse.model_fields_set
    kafka_url = settings.kafka.bootstrap_servers if kafka_set else f"{LOOPBACK}:{ports['kafka']}"
    postgres_url = (
        settings.postgres.url.get_secret_value()
        if postgres_set
        else postgres.connection_url(ports["postgres"], passwords.postgres_password)
    )
    clickhouse_url = settings.clickhouse.url if clickhouse_set else f"http://{LOOPBACK}:{ports['clickhouse']}"
    valkey_set = settings.valkey.url is not None
    valkey_url = (
        settings.valkey.url.get_secret_value()
        if settings.valkey.url is not None
        else valkey.connection_url(ports["valkey"], passwords.valkey_password or "")
    )
    stripe_url = settings.stripe.api_base or "https://api.stripe.com"
    simulator_url = None if stripe_is_set(settings) else f"http://{LOOPBACK}:{ports[stripe.NAME]}"
    set_password = settings.clickhouse.password.get_secret_value() if settings.clickhouse.password else None
    return Stack(
        state_dir=state_dir,
        kafka_bootstrap_servers=kafka_url,
        postgres_url=postgres_url,
        clickhouse_url=clickhouse_url,
        clickhouse_user=settings.clickhouse.user if clickhouse_set else clickhouse.USER,
        clickhouse_password=set_password if clickhouse_set else passwords.clickhouse_password,
        valkey_url=valkey_url,
        stripe_api_base=simulator_url,
        jwt_secret=None if identity_is_set(settings) else passwords.jwt_secret,
        parts=(
            PartState(name="kafka", url=kafka_url, external=kafka_set),
            PartState(name="postgres", url=_without_password(postgres_url), external=postgres_set),
            PartState(name="clickhouse", url=_without_password(clickhouse_url), external=clickhouse_set),
            PartState(name="valkey", url=_without_password(valkey_url), external=valkey_set),
            PartState(name=stripe.NAME, url=simulator_url)
            if simulator_url
            else PartState(name="stripe", url=_without_password(stripe_url), external=True),
            *(PartState(name=spec.name, url=f"http://{LOOPBACK}:{ports[spec.name]}") for spec in SERVICES),
        ),
        ports=ports,
        secrets=passwords,
    )


def _without_password(url: str) -> str:
    """Return what may be shown: scheme, host, port, path."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
