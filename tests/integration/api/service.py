"""The API as clients meet it: a real server on a real port, with real engines behind it."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
import uvicorn
from aiokafka import AIOKafkaConsumer, TopicPartition

from api.access.tokens import make_token
from api.app import create_app
from api.stores import build_stores
from cli.keys import make_key
from cli.migrate import apply_all
from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.kafka.connection import client_options
from sinks.kafka.topics import topic_name
from tests.engines import wait_for


@dataclass(frozen=True)
class Service:
    """A running API."""

    settings: Settings
    url: str
    app: Any

    def key(self, organization: str, *scopes: str) -> str:
        """Make a key of an organization, which is made too if there is none."""
        made = make_key(
            self.settings,
            name="test",
            organization=organization,
            scopes=list(scopes) or ["admin"],
            create_missing=True,
        )
        return asyncio.run(made)[1]

    def operator_key(self) -> str:
        """Make an operator's key."""
        return asyncio.run(make_key(self.settings, name="test", organization=None, scopes=[], operator=True))[1]

    def token(self, user_id: str, *, email: str | None = None) -> str:
        """Make a token of a person, as whoever signs them in does."""
        return make_token(self.settings.identity, user_id=user_id, email=email, lifetime=timedelta(hours=1))

    def client(self, key: str | None = None, *, organization: str | None = None) -> httpx.Client:
        """Return a client that sends this key or token, and names this organization."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if organization is not None:
            headers["X-Organization"] = organization
        hooks = {"response": [self._must_be_documented]}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30.0, event_hooks=hooks)

    def _must_be_documented(self, response: httpx.Response) -> None:
        """Fail where the OpenAPI document does not know an answer that a test saw."""
        path, method = response.request.url.path, response.request.method.lower()
        for template, operations in self.app.openapi()["paths"].items():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if method in operations and re.fullmatch(pattern, path):
                assert str(response.status_code) in operations[method]["responses"], (method, template, response)

    def sql(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on Postgres."""
        with psycopg.connect(self.settings.postgres.url.get_secret_value(), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def organization_id(self, slug: str) -> str:
        """Return an organization's id."""
        return str(self.sql("select id from organizations where slug = %s", slug)[0][0])

    @property
    def topic(self) -> str:
        """Return the topic that events go to."""
        return topic_name(self.settings.kafka, USAGE_EVENTS)

    def records(self, organization: str) -> list[Any]:
        """Return an organization's records, reading the whole topic."""
        headers = (("organization", organization.encode()),)
        return [record for record in asyncio.run(read_topic(self.settings, self.topic)) if record.headers == headers]


@contextmanager
def running_service(settings: Settings, *, migrated: bool = True) -> Iterator[Service]:
    """Serve the API in a thread; schemas and topics are made first."""
    if migrated:
        apply_all(settings)
    app = create_app(settings, build_stores(settings))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for("the API listens", lambda: server.started or not thread.is_alive(), timeout_s=30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(settings, f"http://127.0.0.1:{port}", app)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        if thread.is_alive():
            pytest.fail(f"the API does not end; it still does:\n{_tasks_of(server)}")


def _tasks_of(server: uvicorn.Server) -> str:
    """Say what a server that hangs waits for."""
    stacks = io.StringIO()
    for task in asyncio.all_tasks(server.servers[0].get_loop()):
        task.print_stack(file=stacks)
    return f"connections: {server.server_state.connections}\n{stacks.getvalue()}"


async def read_topic(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic."""
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(settings.kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        records: list[Any] = []
        while len(records) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += batch
        return records
    finally:
        await consumer.stop()
