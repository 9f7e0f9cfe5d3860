"""Connections to Postgres, and psycopg's errors in our terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN, poll

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.errors import DatabaseError, RefusedToStart, Transient, Unavailable
from runtime.logging import get_logger
from runtime.settings import PostgresSettings
from sinks.postgres.queries import load

log = get_logger(__name__)

# The server asks for the same transaction again; anything it wrote is undone.
_REPEATABLE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable)
_ACTING_AS = load("access")["acting_as"]
_PORTS = frozenset("0123456789,")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn psycopg's errors into ours.

    Raises: Transient (deadlock, serialization, lost connection), Unavailable (no connection in time),
    DatabaseError (the server refused our statement; the message names no value).
    """
    try:
        yield
    except _REPEATABLE as exc:
        raise Transient(f"Postgres asks for the transaction again: {exc.sqlstate}") from exc
    except PoolTimeout as exc:
        raise Unavailable("Postgres gave no connection in time; is it up, and is pool_max large enough?") from exc
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        raise Transient(f"Postgres does not answer: {_first_line(exc)}") from exc
    except psycopg.Error as exc:
        raise DatabaseError(f"Postgres refused a statement ({exc.sqlstate}): {_first_line(exc)}") from exc


def _first_line(exc: psycopg.Error) -> str:
    return str(exc).partition("\n")[0]


def readable_url(url: str) -> str:
    """Return the URL if it is one; the driver's errors repeat what they cannot read, and so the password.

    Raises: RefusedToStart.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {}
    if not parts or not set(str(parts.get("port", ""))) <= _PORTS:
        raise RefusedToStart(
            "METERSTREAM_POSTGRES__URL cannot be read: write postgresql://user:password@host:5432/database, and percent"
            " signs for what else a password holds (%40 for @)."
        )
    return url


def connection_options(
    settings: PostgresSettings, *, service: str, search_path: str = "public", role: str | None = None
) -> dict[str, object]:
    """Return the keyword arguments of every connection: limits, name, time zone, and the role it acts as."""
    acting_as = "" if role is None else f" -c role={role}"
    return {
        "conninfo": readable_url(settings.url.get_secret_value()),
        "connect_timeout": round(settings.connect_timeout_s),
        "application_name": f"meterstream-{service}",
        "options": f"-c statement_timeout={round(settings.statement_timeout_s * 1000)} -c timezone=UTC"
        f" -c search_path={search_path}{acting_as}",
        # A dead host is noticed in ~20 s instead of the kernel's two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }


def connect(
    settings: PostgresSettings, *, service: str, search_path: str = "public", role: str | None = None
) -> psycopg.Connection:
    """Open one blocking connection in autocommit mode, for a worker's thread or a command.

    It acts as `role`, or as its login without one. `search_path` "rebuild,public" makes every derived table the one
    that is being rebuilt.
    """
    with translated_errors():
        options = connection_options(settings, service=service, search_path=search_path, role=role)
        connection = psycopg.connect(**options, autocommit=True)  # type: ignore[arg-type]
        if role is not None:
            try:
                _require_role(connection.execute(_ACTING_AS).fetchone(), role)
            except BaseException:
                connection.close()
                raise
        return connection


def make_pool(settings: PostgresSettings, *, service: str, role: str | None = None) -> AsyncConnectionPool:
    """Return a pool for request work, not yet open (`async with`). Connections are in autocommit mode.

    It lends none that does not act as `role`: `PoolTimeout`, with the reason in the log.
    """
    options = connection_options(settings, service=service, role=role)

    async def require_role(connection: psycopg.AsyncConnection) -> None:
        try:
            _require_role(await (await connection.execute(_ACTING_AS)).fetchone(), str(role))
        except RefusedToStart as exc:
            log.error("refused a connection to Postgres", reason=exc.message)  # noqa: TRY400 - no bug of ours
            raise

    conninfo = str(options.pop("conninfo"))
    return AsyncConnectionPool(
        conninfo,
        kwargs={**options, "autocommit": True},
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        timeout=settings.connect_timeout_s,
        check=_check_connection,
        configure=None if role is None else require_role,
        open=False,
    )


def _require_role(found: tuple[str, bool] | None, role: str) -> None:
    """Refuse a connection to which row-level security does not apply as it should. Raises: RefusedToStart."""
    if found == (role, False):
        return
    who, above = found or ("nobody", False)
    raise RefusedToStart(
        f"This connection to Postgres acts as {who}{', whom no policy binds' if above else ''}, and must act as {role},"
        " a role without SUPERUSER and BYPASSRLS: tenants would see each other's rows. A pooler that drops the start-up"
        " parameter `options` (PgBouncer with ignore_startup_parameters = options) does that: let"
        " METERSTREAM_POSTGRES__URL name Postgres itself."
    )


async def _check_connection(connection: psycopg.AsyncConnection) -> None:
    """Refuse a connection whose server has gone. One that works has nothing to say: seen without a round trip."""
    idle = poll()
    idle.register(connection.fileno(), POLLIN)
    if idle.poll(0):
        await AsyncConnectionPool.check_connection(connection)
