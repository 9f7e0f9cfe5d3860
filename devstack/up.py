"""Composes the embedded stack: which parts are ours, on which ports, started together, stopped together."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from devstack import clickhouse, kafka, postgres
from devstack.clickhouse import Clickhouse
from devstack.clickhouse_server.config import Reader
from devstack.kafka import Kafka
from devstack.ports import free_port
from devstack.postgres import Postgres
from devstack.process import ChildProcess
from devstack.state import PartState, Secrets, Stack, find_stack
from runtime.errors import ConflictError
from runtime.settings import Settings

_USUAL_PORTS = {
    "kafka": kafka.USUAL_PORT,
    "kafka-controller": 9093,
    "postgres": postgres.USUAL_PORT,
    "clickhouse": clickhouse.USUAL_PORT,
}


class Engine(Protocol):
    """A real engine as a child process."""

    name: str
    process: ChildProcess

    def prepare(self) -> None:
        """Make what the first start needs; quick when it is there."""

    def start(self, *, detached: bool = False) -> None:
        """Start the process."""

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once it answers, or raise PartFailed."""

    def is_healthy(self) -> bool:
        """Tell whether it answers."""


@dataclass(frozen=True)
class Progress:
    """One line of the start-up."""

    name: str
    what: str
    seconds: float


Report = Callable[[Progress], None]


class EmbeddedStack:
    """The engines of one state directory."""

    def __init__(self, stack: Stack) -> None:
        assert stack.secrets is not None
        self.stack = stack
        self.kafka = Kafka(stack.state_dir, stack.ports["kafka"], stack.ports["kafka-controller"])
        self.postgres = Postgres(stack.state_dir, stack.ports["postgres"], stack.secrets.postgres_password)
        self.clickhouse = Clickhouse(
            stack.state_dir,
            stack.ports["clickhouse"],
            stack.secrets.clickhouse_password,
            Reader(password=stack.secrets.dashboards_password),
        )

    @property
    def engines(self) -> list[Engine]:
        """Return the parts that are ours, in the order of starting: the first start of the last takes longest."""
        external = {part.name for part in self.stack.parts if part.external}
        every: list[Engine] = [self.clickhouse, self.postgres, self.kafka]
        return [engine for engine in every if engine.name not in external]

    def start(self, *, detached: bool = False, report: Report = lambda _: None) -> None:
        """Start every engine and return when all are ready; if one fails, stop the others.

        Raises:
            PartFailed: with the end of the part's log.
        """
        began = time.monotonic()
        waiting: list[Engine] = []
        try:
            for engine in self.engines:
                if engine.process.is_running():
                    continue
                engine.prepare()
                engine.start(detached=detached)
                waiting.append(engine)
            for engine in waiting:
                engine.wait_ready()
                report(Progress(engine.name, "ready", time.monotonic() - began))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every engine."""
        for engine in self.engines:
            engine.process.stop()

    def is_running(self) -> bool:
        """Tell whether all of our engines run."""
        return all(engine.process.is_running() for engine in self.engines)

    def any_running(self) -> bool:
        """Tell whether any of our engines runs."""
        return any(engine.process.is_running() for engine in self.engines)


def plan(settings: Settings, *, usual_ports: bool = True) -> EmbeddedStack:
    """Return the stack of `settings.state_dir`: as it was if there is one, else new secrets and ports."""
    state_dir = settings.state_dir.resolve()
    before = find_stack(state_dir)
    known = before.secrets if before is not None else None
    ports = _ports(before.ports if before is not None else {}, usual_ports=usual_ports)
    if before is not None and EmbeddedStack(before).any_running():
        ports = before.ports
    passwords = known or Secrets(
        postgres_password=secrets.token_urlsafe(24),
        clickhouse_password=secrets.token_urlsafe(24),
        dashboards_password=secrets.token_urlsafe(24),
    )
    return EmbeddedStack(_describe(settings, state_dir, ports, passwords))


def erase(state_dir: Path) -> None:
    """Delete the data of a stopped stack.

    Raises:
        ConflictError: it runs.
    """
    before = find_stack(state_dir.resolve())
    if before is None:
        return
    if EmbeddedStack(before).any_running():
        raise ConflictError("The stack runs: `meterstream down` first.")
    shutil.rmtree(state_dir)


def _ports(before: dict[str, int], *, usual_ports: bool) -> dict[str, int]:
    """Return a port for each part: the one it had, else the usual one, if free."""
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
    own_kafka = f"127.0.0.1:{ports['kafka']}"
    own_postgres = Postgres(state_dir, ports["postgres"], passwords.postgres_password)
    own_clickhouse = f"http://127.0.0.1:{ports['clickhouse']}"
    kafka_url = settings.kafka.bootstrap_servers if kafka_set else own_kafka
    clickhouse_url = settings.clickhouse.url if clickhouse_set else own_clickhouse
    set_password = settings.clickhouse.password.get_secret_value() if settings.clickhouse.password else None
    return Stack(
        state_dir=state_dir,
        kafka_bootstrap_servers=kafka_url,
        postgres_url=settings.postgres.url.get_secret_value() if postgres_set else own_postgres.url(),
        clickhouse_url=clickhouse_url,
        clickhouse_user=settings.clickhouse.user if clickhouse_set else clickhouse.USER,
        clickhouse_password=set_password if clickhouse_set else passwords.clickhouse_password,
        parts=(
            PartState(name="kafka", url=kafka_url, external=kafka_set),
            PartState(name="postgres", url="", external=postgres_set),
            PartState(name="clickhouse", url=clickhouse_url, external=clickhouse_set),
        ),
        ports=ports,
        secrets=passwords,
    )
