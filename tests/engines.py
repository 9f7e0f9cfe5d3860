"""Real engines for tests: a stack of its own in a temporary directory, and fresh databases inside it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from devstack.ports import free_port
from devstack.up import EmbeddedStack, Part, plan
from devstack.valkey import Valkey
from runtime.settings import (
    ApiSettings,
    ClickhouseSettings,
    IdentitySettings,
    KafkaSettings,
    PostgresSettings,
    Settings,
    ValkeySettings,
    WorkerSettings,
)
from sinks.postgres.migrate import migrate

EngineName = Literal["kafka", "postgres", "clickhouse", "valkey"]
_TEMPLATE = "meterstream_template"
JWT_SECRET = "what signs the tokens of people in tests"


class TestStack:
    """Engines in a temporary directory on free ports, which a test may stop, kill and start again."""

    __test__ = False

    def __init__(self, state_dir: Path) -> None:
        # Whatever the environment points to, tests run on engines of their own.
        self._settings = Settings.model_construct(
            state_dir=state_dir,
            kafka=KafkaSettings(),
            postgres=PostgresSettings(),
            clickhouse=ClickhouseSettings(),
            valkey=ValkeySettings(),
            api=ApiSettings(),
        )
        self.embedded: EmbeddedStack = plan(self._settings, usual_ports=False)
        self.state_dir = state_dir

    def start(self) -> None:
        """Start all engines."""
        self.embedded.start_engines()

    def stop(self) -> None:
        """Stop all engines."""
        self.embedded.stop()

    def engine(self, name: EngineName) -> Part:
        """Return one engine."""
        return next(engine for engine in self.embedded.engines if engine.name == name)

    def stop_engine(self, name: EngineName) -> None:
        """Stop one engine cleanly."""
        self.engine(name).process.stop()

    def kill_engine(self, name: EngineName) -> None:
        """Send SIGKILL to one engine, as a crash of its process would."""
        self.engine(name).process.kill()

    def restart_engine(self, name: EngineName) -> None:
        """Start one engine again on the same port and data; returns when it answers."""
        start_again(self.engine(name))

    @property
    def kafka_bootstrap(self) -> str:
        """Return Kafka's address."""
        return self.embedded.kafka.bootstrap_servers

    @property
    def clickhouse_url(self) -> str:
        """Return ClickHouse's address."""
        return self.embedded.clickhouse.url

    @property
    def clickhouse_password(self) -> str:
        """Return the password of ClickHouse's user `default`."""
        return self.embedded.clickhouse.password

    @property
    def valkey_url(self) -> str:
        """Return Valkey's address, password included."""
        return self.embedded.valkey.url

    def postgres_url(self, database: str) -> str:
        """Return the URL of one Postgres database."""
        return self.embedded.postgres.url(database)

    @contextmanager
    def postgres_database(self, *, migrated: bool = True) -> Iterator[str]:
        """Give a fresh database, made from a template that has the migrations; dropped afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        template = self._template() if migrated else "template1"
        self._admin(
            sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)),
        )
        try:
            yield self.postgres_url(name)
        finally:
            self._admin(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    @contextmanager
    def fresh_settings(self, name: str) -> Iterator[Settings]:
        """Give settings with a state folder, a migrated database and names in the other stores of their own."""
        unique = f"{name}{uuid.uuid4().hex[:10]}"
        with tempfile.TemporaryDirectory() as folder, self.postgres_database() as url:
            yield self.settings(
                postgres_url=url,
                clickhouse_database=unique,
                topic_prefix=f"{unique}.",
                state_dir=Path(folder),
            )

    def settings(self, *, postgres_url: str, clickhouse_database: str, topic_prefix: str, state_dir: Path) -> Settings:
        """Return settings that point here; the environment is not read."""
        return Settings.model_construct(
            state_dir=state_dir,
            log_level="INFO",
            log_format="json",
            kafka=KafkaSettings(bootstrap_servers=self.kafka_bootstrap, topic_prefix=topic_prefix, partitions=4),
            postgres=PostgresSettings(url=SecretStr(postgres_url)),
            clickhouse=ClickhouseSettings(
                url=self.clickhouse_url, password=SecretStr(self.clickhouse_password), database=clickhouse_database
            ),
            # Tests ask faster than clients, on a machine that may be busy; limits have tests of their own.
            valkey=ValkeySettings(url=SecretStr(self.valkey_url), timeout_s=5.0),
            api=ApiSettings(port=0, user_limit="100000/second", address_limit="100000/second"),
            identity=IdentitySettings(jwt_secret=SecretStr(JWT_SECRET)),
            worker=WorkerSettings(index_dir=state_dir / "first_seen"),
        )

    def _template(self) -> str:
        found = self._admin(sql.SQL("select 1 from pg_database where datname = {}").format(sql.Literal(_TEMPLATE)))
        if not found:
            self._admin(sql.SQL("create database {}").format(sql.Identifier(_TEMPLATE)))
            migrate(self.postgres_url(_TEMPLATE))
        return _TEMPLATE

    def _admin(self, statement: sql.Composed) -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres_url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_stack() -> Iterator[TestStack]:
    """Give a stack of its own: what a fault test kills. Its data is deleted afterwards."""
    # Not pytest's own folder: pytest takes away the right to traverse it, which Postgres's user needs under root.
    state_dir = Path(tempfile.mkdtemp(prefix="meterstream-test-"))
    stack = TestStack(state_dir)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


def start_again(engine: Part) -> None:
    """Start an engine that was killed, or runs, on the same port and data; returns when it answers."""
    engine.process.stop()
    engine.start()
    engine.wait_ready()


@contextmanager
def running_valkey() -> Iterator[Valkey]:
    """Give a Valkey of its own, to be stopped, killed and started again."""
    state_dir = Path(tempfile.mkdtemp(prefix="meterstream-test-"))
    server = Valkey(state_dir, free_port(), secrets.token_urlsafe(24))
    try:
        server.prepare()
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.process.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


def wait_for(what: str, condition: object, *, timeout_s: float = 20.0) -> None:
    """Poll until `condition()` is true; fails the test with `what` if it never is."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)


def database_of(url: str) -> str:
    """Return the database's name in a Postgres URL."""
    return str(conninfo_to_dict(url)["dbname"])
