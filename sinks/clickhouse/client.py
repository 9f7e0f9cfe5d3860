"""Connections to ClickHouse, and its driver's errors in our terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from runtime.errors import DatabaseError, Transient, Unavailable
from runtime.settings import ClickhouseSettings

# The server's own numbers for "not now": time-outs, too many queries or parts, memory, a replica or Keeper that is
# away, shutting down, an insert whose fate is unknown. Repeating is safe: inserts carry a token.
_TRANSIENT = frozenset({159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 286, 319, 394, 425, 999})


ClickhouseClient = Client
"""What callers outside this package call the driver's client."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into ours.

    Raises: Unavailable (no answer), Transient (the server asks for another try), DatabaseError (it refused us).
    """
    try:
        yield
    except ClickHouseError as exc:
        code = exc.code if isinstance(exc, Error) else None
        text = str(exc).partition("\n")[0][:500]
        if code is None:
            raise Unavailable(f"ClickHouse does not answer: {text}") from exc
        if code in _TRANSIENT:
            raise Transient(f"ClickHouse asks for the statement again ({code}): {text}") from exc
        raise DatabaseError(f"ClickHouse refused a statement ({code}): {text}") from exc
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        raise Unavailable(f"ClickHouse does not answer: {type(exc).__name__}") from exc


def connect(settings: ClickhouseSettings, *, service: str, database: str | None = None) -> Client:
    """Open a client, which threads may share: it keeps no session, and its pool gives each request a connection.

    `database`: another one than the settings' (`rebuild` fills one beside the live one); "" for the user's default.
    """
    address = urlsplit(settings.url)
    secure = address.scheme == "https"
    with translated_errors():
        return clickhouse_connect.get_client(
            interface=address.scheme,
            host=address.hostname,
            port=address.port or (8443 if secure else 8123),
            proxy_path=address.path.strip("/"),
            username=unquote(address.username) if address.username else settings.user,
            password=_password(settings, address.password),
            database=settings.database if database is None else database,
            verify=settings.verify_tls,
            ca_cert=None if settings.ca_file is None else str(settings.ca_file),
            connect_timeout=5,
            # Longer than the server's own limit, so that its reason arrives.
            send_receive_timeout=round(settings.query_timeout_s) + 5,
            settings={"max_execution_time": round(settings.query_timeout_s)},
            client_name=f"meterstream-{service}",
            autogenerate_session_id=False,
            # The workers repeat by their own rules; a silent retry would hide an outage from them.
            query_retries=0,
            tz_mode="aware",
            dedicated_pool=True,
        )


def query(
    client: Client, statement: str, parameters: Mapping[str, Any] | None = None, *, as_bytes: Sequence[str] = ()
) -> Sequence[Sequence[Any]]:
    """Run a statement with bound parameters and return its rows; the columns of `as_bytes` are bytes, not text."""
    formats: dict[str, str | dict[str, str]] = dict.fromkeys(as_bytes, "bytes")
    with translated_errors():
        answer = client.query(statement, parameters=dict(parameters or {}), column_formats=formats)
        rows: Sequence[Sequence[Any]] = answer.result_rows
        return rows


def command(client: Client, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run a statement that returns no rows."""
    with translated_errors():
        client.command(statement, parameters=dict(parameters or {}))


def _password(settings: ClickhouseSettings, in_url: str | None) -> str:
    if settings.password is not None:
        return settings.password.get_secret_value()
    return unquote(in_url) if in_url else ""
