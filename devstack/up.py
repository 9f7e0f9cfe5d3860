"""Composes the embedded stack: which parts are ours, on which ports, started in order, stopped in the reverse order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from devstack.clickhouse import Clickhouse
from devstack.clickhouse_server.config import Reader
from devstack.kafka import Kafka
from devstack.plan import stack_for
from devstack.ports import LOOPBACK
from devstack.postgres import Postgres
from devstack.process import ChildProcess
from devstack.service import SERVICES, Service
from devstack.state import Stack, find_stack
from devstack.stripe import StripeSimulator
from devstack.valkey import Valkey
from runtime.errors import ConflictError
from runtime.settings import Settings


class Part(Protocol):
    """A child process of the stack: an engine, or a service of ours."""

    name: str
    advice: str
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
Migrate = Callable[[Settings], object]


class EmbeddedStack:
    """The parts of one state directory that are ours."""

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
        self.valkey = Valkey(stack.state_dir, stack.ports.get("valkey", 0), stack.secrets.valkey_password or "")

    @property
    def engines(self) -> list[Part]:
        """Return our engines in the order of starting: the first start of the last takes longest."""
        external = {part.name for part in self.stack.parts if part.external}
        every: list[Part] = [self.clickhouse, self.postgres, self.kafka, self.valkey]
        return [engine for engine in every if engine.name not in external]

    @property
    def simulators(self) -> list[Part]:
        """Return what stands in for somebody else's service: Stripe's simulator, while no key of theirs is set."""
        secrets, ports = self.stack.secrets, self.stack.ports
        if self.stack.stripe_api_base is None or secrets is None or secrets.stripe_api_key is None:
            return []
        return [
            StripeSimulator(
                self.stack.state_dir,
                ports[StripeSimulator.name],
                secrets.stripe_api_key,
                webhook_url=f"http://{LOOPBACK}:{ports['api']}/api/v1/webhooks/stripe",
                webhook_secret=secrets.stripe_webhook_secret or "",
            )
        ]

    @property
    def services(self) -> list[Part]:
        """Return the API and the workers."""
        environment = self.stack.environment()
        return [Service(spec, self.stack.state_dir, self.stack.ports[spec.name], environment) for spec in SERVICES]

    @property
    def parts(self) -> list[Part]:
        """Return everything that is ours."""
        return [*self.engines, *self.simulators, *self.services]

    def start_engines(self, *, detached: bool = False, report: Report = lambda _: None) -> None:
        """Start the engines that do not run and return when all answer; if one fails, all are stopped.

        Raises:
            PartFailed: with the end of the part's log.
        """
        self._start(self.engines, detached=detached, report=report)

    def start_services(self, *, detached: bool = False, report: Report = lambda _: None) -> None:
        """Start the simulator, the API and the workers that do not run; the engines answer and are migrated.

        Raises:
            PartFailed: with the end of the part's log.
        """
        self._start([*self.simulators, *self.services], detached=detached, report=report)

    def stop(self) -> None:
        """Stop everything: the services first, so that they finish what they have in hand."""
        for group in (self.services, self.simulators, self.engines):
            for part in group:
                part.process.ask_to_stop()
            for part in group:
                part.process.stop()

    def running(self) -> list[Part]:
        """Return the parts whose processes run."""
        return [part for part in self.parts if part.process.is_running()]

    def _start(self, parts: Sequence[Part], *, detached: bool, report: Report) -> None:
        started: dict[str, float] = {}
        waiting = [part for part in parts if not part.process.is_running()]
        try:
            for part in waiting:
                started[part.name] = time.monotonic()
                part.prepare()
                part.start(detached=detached)
            for part in _as_they_answer(waiting):
                part.wait_ready()
                report(Progress(part.name, "ready", time.monotonic() - started[part.name]))
        except BaseException:
            self.stop()
            raise


def plan(settings: Settings, *, usual_ports: bool = True) -> EmbeddedStack:
    """Return the stack of `settings.state_dir`: as it runs or ran if there is one, else with new secrets and ports."""
    before = find_stack(settings.state_dir.resolve())
    if before is not None and EmbeddedStack(before).running():
        return EmbeddedStack(before)
    return EmbeddedStack(stack_for(settings, before, usual_ports=usual_ports))


def bring_up(
    embedded: EmbeddedStack, migrate: Migrate, *, detached: bool, report: Report = lambda _: None
) -> list[str]:
    """Start what does not run: engines, then schemas and topics, then services; return the names of what was started.

    Raises:
        PartFailed: a part did not start; nothing of the stack runs then.
    """
    already = {part.name for part in embedded.running()}
    embedded.stack.save()
    embedded.start_engines(detached=detached, report=report)
    began = time.monotonic()
    try:
        migrate(embedded.stack.settings())
        report(Progress("schemas and topics", "up to date", time.monotonic() - began))
    except BaseException:
        embedded.stop()
        raise
    embedded.start_services(detached=detached, report=report)
    return [part.name for part in embedded.parts if part.name not in already]


def erase(settings: Settings) -> None:
    """Delete the data of a stopped stack.

    Raises:
        ConflictError: it runs.
    """
    before = find_stack(settings.state_dir.resolve())
    if before is not None and EmbeddedStack(before).running():
        raise ConflictError("The stack runs, and its data with it: `meterstream down` first.")
    with suppress(FileNotFoundError):
        shutil.rmtree(settings.state_dir)


def _as_they_answer(parts: Iterable[Part], *, timeout_s: float = 60.0) -> Iterable[Part]:
    """Yield each part when it answers; one that ended or takes too long is yielded too, for `wait_ready` to explain."""
    pending = list(parts)
    deadline = time.monotonic() + timeout_s
    while pending:
        for part in list(pending):
            if part.is_healthy() or not part.process.is_running() or time.monotonic() > deadline:
                pending.remove(part)
                yield part
        time.sleep(0.05)
