"""A fault test's world: engines, fresh stores in them, Meterstream's processes, load, and the recount at the end."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from pydantic import SecretStr

from cli.keys import make_key
from cli.migrate import apply_all
from devstack.ports import free_port
from metering.blocks import Outcome
from metering.meters import build_meter
from metering.topics import USAGE_EVENTS
from runtime.settings import ApiSettings, Settings
from sinks.kafka.topics import topic_name
from sinks.postgres.access import open_postgres
from sinks.postgres.catalogue_changes import LogShape
from sinks.postgres.meters import archive_meter, create_meter
from sinks.postgres.organizations import create_organization
from tests.engines import TestStack
from tests.faults.children import Child, environment
from tests.faults.events import ACME_METERS, GLOBEX_METERS, EventStream, Identity
from tests.faults.log_copy import log_ends
from tests.faults.recount import Recount, assert_clickhouse, assert_postgres, recount_log
from tests.faults.sender import HttpSender, KafkaSender, Load

_SETTLE_S = 90.0


@dataclass
class Scene:
    """Made by `scene`."""

    stack: TestStack
    settings: Settings
    work_dir: Path
    resources: ExitStack
    children: list[Child] = field(default_factory=list)
    organizations: dict[str, str] = field(default_factory=dict)
    """Ids by slug."""

    @property
    def topic(self) -> str:
        """Return the topic's whole name."""
        return topic_name(self.settings.kafka, USAGE_EVENTS)

    @property
    def shape(self) -> LogShape:
        """Return what catalogue changes need to know of the log."""
        return LogShape(self.topic, self.settings.kafka.partitions)

    # Processes

    def worker(self, kind: str = "metering", name: str | None = None, **more: str) -> Child:
        """Start a worker; `more` are settings such as WORKER__BLOCK_MAX_RECORDS."""
        name = name or f"{kind}-1"
        env = environment(self.settings, **{"WORKER__NAME": name, "LOG_LEVEL": "INFO", **more})
        return self._child(name, ["worker", kind], env)

    def api(self, **more: str) -> Child:
        """Start the API and wait until it answers; `more` are settings."""
        child = self._child("api", ["api"], environment(self.settings, **more))
        self.wait_for_api(child)
        return child

    def command(self, name: str, *arguments: str) -> Child:
        """Start another command."""
        return self._child(name, list(arguments), environment(self.settings))

    def wait_for_api(self, child: Child) -> None:
        """Wait until the API answers."""
        self.wait(f"{child.name} answers", lambda: _answers(f"{self.api_url}/healthz"), timeout_s=60)

    @property
    def api_url(self) -> str:
        """Return where the API is."""
        return f"http://127.0.0.1:{self.settings.api.port}"

    def _child(self, name: str, arguments: list[str], env: dict[str, str]) -> Child:
        child = Child(name, arguments, env, self.work_dir)
        self.resources.enter_context(child)
        self.children.append(child)
        return child.start()

    # Load

    def stream(self, seed: int, **more: Any) -> EventStream:
        """Return a stream of events."""
        return EventStream(seed, self.settings.kafka.partitions, **more)

    def kafka_sender(self, **more: Any) -> KafkaSender:
        """Return a producer."""
        return KafkaSender(self.settings.kafka, self.topic, **more)

    def http_sender(self) -> HttpSender:
        """Return an HTTP client with a key of acme's."""
        made = make_key(self.settings, name="test", organization="acme", scopes=["ingest"])
        return HttpSender(self.api_url, asyncio.run(made)[1])

    def kafka_load(self, seed: int, *, per_s: float = 5.0) -> Load:
        """Return a load of hundreds of records, `per_s` times a second."""
        return Load(self.kafka_sender(), self.stream(seed), per_s=per_s)

    def send(self, seed: int, count: int, **more: Any) -> KafkaSender:
        """Send so many records of a stream and wait for their confirmation."""
        sender, stream = self.kafka_sender(), iter(self.stream(seed, **more))
        sender.send(next(stream) for _ in range(count))
        sender.flush()
        return sender

    # Catalogue

    def add_organization(self, slug: str) -> None:
        """Make an organization where the log stands now."""

        async def make() -> str:
            async with open_postgres(self.settings.postgres, service="test") as connection:
                return (await create_organization(connection, slug=slug, name=slug, shape=self.shape)).id

        self.organizations[slug] = str(asyncio.run(make()))

    def add_meter(self, organization: str, meter: dict[str, Any]) -> None:
        """Make a meter where the log stands now."""

        async def make() -> None:
            built = build_meter(id="", organization_id=self.organizations[organization], **meter)
            async with open_postgres(self.settings.postgres, service="test") as connection:
                await create_meter(connection, built, name=meter["slug"], description="", shape=self.shape)

        asyncio.run(make())

    def archive_meter(self, organization: str, slug: str) -> None:
        """Archive a meter where the log stands now."""

        async def archive() -> None:
            async with open_postgres(self.settings.postgres, service="test") as connection:
                await archive_meter(
                    connection, organization_id=self.organizations[organization], slug=slug, shape=self.shape
                )

        asyncio.run(archive())

    # What is there

    def sql(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on Postgres."""
        with psycopg.connect(self.settings.postgres.url.get_secret_value(), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def records_decided(self) -> int:
        """Return how many records the journal has."""
        return int(self.sql("select coalesce(sum(records), 0) from stream_blocks where topic = %s", self.topic)[0][0])

    def totals(self) -> list[tuple[Any, ...]]:
        """Return every total, in order."""
        return self.sql(
            "select organization_id, subject, meter_id, minute, trim_scale(quantity), events, latest_time_us,"
            " latest_offset from usage_minutes order by 1, 2, 3, 4"
        )

    def empty_derived_tables(self) -> None:
        """Empty in Postgres all that a replay fills, while no worker runs."""
        self.sql(
            "truncate usage_series, usage_buckets, usage_values, stream_positions, stream_blocks, dead_letters,"
            " warehouse_loads"
        )

    def wait(self, what: str, condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Poll; fails with `what` and the children's logs."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(child.tail() for child in self.children)
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}\n{logs}")
            time.sleep(0.1)

    def wait_counted(self, records: int = 1) -> None:
        """Wait until so many more records are decided."""
        decided = self.records_decided()
        self.wait(f"{records} more records are decided", lambda: self.records_decided() >= decided + records)

    def settle(self, *, warehouse: bool = False, timeout_s: float = _SETTLE_S) -> None:
        """Wait until the journal reaches the log's end, and with `warehouse` the loads reach the journal's."""
        deadline = time.monotonic() + timeout_s
        while behind := self._behind(warehouse=warehouse):
            for child in self.children:
                if not child.is_running() and child.name.startswith(("metering", "warehouse")):
                    assert self._stands_in(child), f"{child.name} ended by itself\n{child.tail()}"
            if time.monotonic() > deadline:
                logs = "\n".join(child.tail() for child in self.children)
                raise AssertionError(f"not settled within {timeout_s:.0f} s: {behind}\n{logs}")
            time.sleep(0.2)

    def _stands_in(self, ended: Child) -> bool:
        kind = ended.name.partition("-")[0]
        return any(child.is_running() and child.name.startswith(kind) for child in self.children)

    def _behind(self, *, warehouse: bool) -> str:
        ends = log_ends(self.settings.kafka, self.topic)
        positions = self.sql(
            "select partition, position from stream_positions where consumer = 'metering' and topic = %s", self.topic
        )
        behind = _short_of(ends, dict(positions))
        if behind or not warehouse:
            return f"partition: (position, end of the log): {behind}" if behind else ""
        loads = self.sql(
            "select partition, max(to_position) from warehouse_loads where state = 'done' and topic = %s group by 1",
            self.topic,
        )
        behind = _short_of(ends, dict(loads))
        return f"partition: (loaded, end of the journal): {behind}" if behind else ""

    # The end

    def assert_exact(self, *acked: set[Identity], warehouse: bool = False, timeout_s: float = _SETTLE_S) -> Recount:
        """Settle, count the log again, and hold everything against it."""
        self.settle(warehouse=warehouse, timeout_s=timeout_s)
        found = recount_log(self.settings, self.topic)
        assert_postgres(self.settings, self.topic, found)
        if warehouse:
            assert_clickhouse(self.settings, self.topic, found)
        counted = found.counted_identities()
        twice = [identity for identity, times in counted.items() if times > 1]
        assert not twice, f"{len(twice)} events counted more than once, such as {twice[:3]}"
        lost = set().union(*acked) - counted.keys()
        assert not lost, f"{len(lost)} acknowledged events are not counted, such as {sorted(lost)[:3]}"
        assert found.outcomes()[Outcome.COUNTED] > 0
        return found


@contextmanager
def scene(stack: TestStack, *, catalogue: bool = True, partitions: int = 4) -> Iterator[Scene]:
    """Give fresh stores with two organizations and their meters; every process that a test started is ended."""
    name = uuid.uuid4().hex[:10]
    with (
        tempfile.TemporaryDirectory(prefix="meterstream-fault-") as folder,
        stack.postgres_database() as url,
        ExitStack() as resources,
    ):
        settings = stack.settings(
            postgres_url=url, clickhouse_database=f"faults_{name}", topic_prefix=f"f{name}.", state_dir=Path(folder)
        )
        kafka = settings.kafka.model_copy(update={"partitions": partitions})
        settings = settings.model_copy(update={"kafka": kafka, "api": ApiSettings(port=free_port())})
        apply_all(settings)
        made = Scene(stack, settings, Path(folder), resources)
        if catalogue:
            for slug, meters in (("acme", ACME_METERS), ("globex", GLOBEX_METERS)):
                made.add_organization(slug)
                for meter in meters:
                    made.add_meter(slug, meter)
        yield made


def through(made: Scene, port: int) -> Settings:
    """Return the settings with Postgres behind another port of this machine."""
    url = made.settings.postgres.url.get_secret_value()
    changed = url.replace(f":{made.stack.embedded.postgres.port}/", f":{port}/")
    assert changed != url
    return made.settings.model_copy(
        update={"postgres": made.settings.postgres.model_copy(update={"url": SecretStr(changed)})}
    )


def _short_of(ends: dict[int, int], reached: dict[int, int]) -> dict[int, tuple[int, int]]:
    return {p: (reached.get(p, 0), end) for p, end in ends.items() if reached.get(p, 0) != end}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
