"""Engines of the benchmark's own, in a temporary directory: whatever the environment points to is not touched."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from pydantic import SecretStr

from devstack.ports import LOOPBACK
from devstack.up import EmbeddedStack, plan
from runtime.settings import (
    ApiSettings,
    ClickhouseSettings,
    KafkaSettings,
    PostgresSettings,
    Settings,
    StripeSettings,
    ValkeySettings,
)
from sinks.clickhouse.migrate import migrate as migrate_clickhouse
from sinks.postgres.migrate import migrate as migrate_postgres


class Engines:
    """Kafka, Postgres and ClickHouse, and as many fresh databases in them as there are runs."""

    def __init__(self, state_dir: Path) -> None:
        configured = Settings()
        own = Settings.model_construct(
            state_dir=state_dir,
            kafka=KafkaSettings(),
            postgres=PostgresSettings(),
            clickhouse=ClickhouseSettings(),
            valkey=ValkeySettings(),
            api=ApiSettings(),
        )
        self.state_dir = state_dir
        self.worker = configured.worker
        """The workers' settings are the caller's: METERSTREAM_WORKER__… is what one tunes."""
        self.partitions = configured.kafka.partitions
        self._embedded: EmbeddedStack = plan(own, usual_ports=False)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start them."""
        self._embedded.start_engines()

    def stop(self) -> None:
        """Stop them."""
        self._embedded.stop()

    def kafka(self, topic_prefix: str) -> KafkaSettings:
        """Return settings with a log of their own."""
        servers = self._embedded.kafka.bootstrap_servers
        return KafkaSettings(bootstrap_servers=servers, topic_prefix=topic_prefix, partitions=self.partitions)

    @contextmanager
    def fresh(self, kafka: KafkaSettings, *, index_dir: Path | None = None) -> Iterator[Settings]:
        """Give settings with empty, migrated databases and an empty state directory; deleted afterwards.

        `index_dir`: a first-seen index that is there already.
        """
        name = f"bench_{next(self._numbers)}"
        postgres = self._embedded.postgres
        self._admin(sql.SQL("create database {}").format(sql.Identifier(name)))
        state_dir = self.state_dir / name
        state_dir.mkdir()
        worker = self.worker.model_copy(update={"name": "bench", "index_dir": index_dir or state_dir / "first_seen"})
        settings = Settings.model_construct(
            state_dir=state_dir,
            log_level="INFO",
            log_format="json",
            kafka=kafka,
            postgres=PostgresSettings(url=SecretStr(postgres.url(name))),
            clickhouse=ClickhouseSettings(
                url=self._embedded.clickhouse.url,
                password=SecretStr(self._embedded.clickhouse.password),
                database=name,
            ),
            valkey=ValkeySettings(url=SecretStr(self._embedded.valkey.url)),
            api=ApiSettings(port=0),
            worker=worker,
            # Nothing that is measured calls Stripe; nobody listens there.
            stripe=StripeSettings(
                api_key=SecretStr("sk_test_bench"),
                api_base=f"http://{LOOPBACK}:9",
                webhook_secrets=(SecretStr("whsec_bench"),),
            ),
        )
        try:
            migrate_postgres(postgres.url(name))
            migrate_clickhouse(settings.clickhouse)
            yield settings
        finally:
            self._admin(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
            shutil.rmtree(state_dir, ignore_errors=True)

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time that each engine has used."""
        pids = {part.name: part.process.pid for part in self._embedded.engines}
        return {name: cpu_seconds(pid) for name, pid in pids.items() if pid is not None}

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._embedded.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children, those that ended included."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += own.user + own.system
    return float(used)


@contextmanager
def running_engines() -> Iterator[Engines]:
    """Start engines in a temporary directory; stop them and delete everything afterwards."""
    state_dir = Path(tempfile.mkdtemp(prefix="meterstream-bench-"))
    engines = Engines(state_dir)
    try:
        engines.start()
        yield engines
    finally:
        engines.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


def wait_until(what: str, condition: Callable[[], object], *, timeout_s: float, every_s: float = 0.05) -> None:
    """Poll `condition()` until it is true. Raises: TimeoutError naming what did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
