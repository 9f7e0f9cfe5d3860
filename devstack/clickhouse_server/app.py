"""The HTTP side: one endpoint for queries, `/ping` and `/replicas_status` for health checks."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from devstack.clickhouse_server.config import ServerConfig
from devstack.clickhouse_server.engine import EngineError, EnginePool, Outcome, Statement
from devstack.clickhouse_server.readers import ReaderGuard, ReaderSettings, check_read
from devstack.clickhouse_server.request import Query, compress, credentials, form_fields, parse

# ClickHouse's own table of HTTP answers, as far as clients tell them apart; the rest is 500.
_STATUS = {
    **dict.fromkeys((26, 27, 36, 38, 41, 43, 53, 62, 72, 117, 130, 456, 457), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336), 404),
    **dict.fromkeys((192, 193, 497, 516), 403),
    **dict.fromkeys((48,), 501),
}
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
}


class Service:
    """The two users' pools, and the handlers."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        config.data_dir.mkdir(parents=True, exist_ok=True)
        self._owner = EnginePool(config.data_dir, "default", config.connections)
        # The engine's default kind of database (Overlay) refuses refreshable views.
        self._owner.run(Statement(f"CREATE DATABASE IF NOT EXISTS `{config.database}` ENGINE = Atomic"))
        self._readers = EnginePool(
            config.data_dir, config.database, config.reader_connections, ReaderSettings(config, self._owner)
        )
        self._guard = ReaderGuard(config.database)
        self._threads = ThreadPoolExecutor(config.connections + config.reader_connections, "query")

    def close(self) -> None:
        """Finish the queries in hand and let go of the data."""
        self._threads.shutdown()
        self._readers.close()
        self._owner.close()

    async def ping(self, request: Request) -> Response:
        """Answer as ClickHouse's `/ping` and `/replicas_status` do."""
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        """Run one query. Without one, say that we are there, as ClickHouse does."""
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        arguments = dict(request.query_params)
        form = form_fields(request.headers, body)
        if form is not None:
            arguments, body = {**arguments, **form}, b""
        if not body and not arguments.get("query"):
            return PlainTextResponse("Ok.\n")
        run = partial(self._run, request.method, dict(request.headers), arguments, body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _run(self, method: str, headers: dict[str, str], arguments: dict[str, str], body: bytes) -> Response:
        try:
            is_reader = self._is_reader(*credentials(headers, arguments))
            query = parse(headers, arguments, body)
            if is_reader:
                outcome = self._readers.run(query.statement, self._guard)
            else:
                outcome = self._owner.run(query.statement, check_read if method == "GET" else None)
        except EngineError as exc:
            return _failure(exc)
        return _success(query, outcome)

    def _is_reader(self, user: str, password: str) -> bool:
        config = self._config
        for name, expected, reader in (
            (config.owner, config.owner_password, False),
            (config.reader.name, config.reader.password, True),
        ):
            if user == name and hmac.compare_digest(password.encode(), expected.encode()):
                return reader
        raise EngineError(
            f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, "
            "or there is no user with such name. (AUTHENTICATION_FAILED)"
        )


def create_app(config: ServerConfig) -> Starlette:
    """Return the server; the engine opens the data when the application starts and lets go when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = Service(config)
        app.router.routes[:] = [
            Route("/ping", service.ping, methods=["GET", "HEAD"]),
            Route("/replicas_status", service.ping, methods=["GET", "HEAD"]),
            Route("/", service.query, methods=["GET", "HEAD", "POST"]),
        ]
        yield
        service.close()

    return Starlette(lifespan=lifespan)


def _failure(exc: EngineError) -> Response:
    return PlainTextResponse(
        f"{exc}\n", status_code=_STATUS.get(exc.code, 500), headers={"X-ClickHouse-Exception-Code": str(exc.code)}
    )


def _success(query: Query, outcome: Outcome) -> Response:
    body, encoding = compress(outcome.body, query.answer_encoding)
    headers = {
        "Content-Type": _CONTENT_TYPES.get(query.answer_format, "application/octet-stream"),
        "X-ClickHouse-Query-Id": query.query_id,
        "X-ClickHouse-Format": query.answer_format,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": _summary(outcome),
    }
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return Response(body, headers=headers)


def _summary(outcome: Outcome) -> str:
    counts = {
        "read_rows": outcome.read_rows,
        "read_bytes": outcome.read_bytes,
        "written_rows": outcome.written_rows,
        "written_bytes": outcome.written_bytes,
        "elapsed_ns": int(outcome.elapsed_s * 1e9),
    }
    return json.dumps({key: str(value) for key, value in counts.items()})
