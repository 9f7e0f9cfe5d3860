"""What an HTTP request to ClickHouse says: who asks, the statement, its settings, how to answer."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Literal

import pyarrow as pa

from devstack.clickhouse_server.engine import EngineError, Statement

# Parameters of the interface itself; every other one is a setting of the query.
_RESERVED = frozenset(
    {
        *("query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout"),
        *("session_check", "quota_key", "role", "compress", "decompress", "enable_http_compression", "buffer_size"),
        *("wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        *("client_protocol_version", "http_zlib_compression_level", "add_http_cors_header", "close_session"),
    }
)
# The head of an INSERT up to the name of the format; the rows begin after one white space.
_INSERT_HEAD = re.compile(
    rb"\s*(?P<insert>INSERT\s+INTO\b.*?)\s+FORMAT\s+(?P<format>[A-Za-z]\w*)[ \t\r]*(?:\n|;|$|[ \t])", re.I | re.S
)
_INSERT_VALUES = re.compile(rb"\s*(?P<insert>INSERT\s+INTO\b.*?)\s+VALUES\s*$", re.I | re.S)
_HEAD_BYTES = 65_536
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z]\w*)\s*(?:SETTINGS\b.*)?;?\s*$", re.I | re.S)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_Codec = Literal["gzip", "zstd", "lz4", "brotli"]
_PYARROW_CODEC: dict[str, _Codec] = {"gzip": "gzip", "zstd": "zstd", "lz4": "lz4", "br": "brotli"}
# By speed; the first that the client accepts is used.
_ANSWER_CODECS = ("lz4", "zstd", "gzip", "br")
_COMPRESS_FROM_BYTES = 1_024


@dataclass(frozen=True)
class Query:
    """A parsed request."""

    statement: Statement
    query_id: str
    answer_format: str
    answer_encoding: str | None


def credentials(headers: Mapping[str, str], arguments: Mapping[str, str]) -> tuple[str, str]:
    """Return user and password from headers or URL; the user defaults to `default`."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise EngineError("Code: 516. DB::Exception: The Authorization header is not valid Basic.") from exc
        return user or "default", password
    return arguments.get("user", "default"), arguments.get("password", "")


def form_fields(headers: Mapping[str, str], body: bytes) -> dict[str, str] | None:
    """Return the fields of a multipart form (so clients send long parameters), or None where the body is no form."""
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return None
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.walk():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields[name] = value.decode()
    return fields


def parse(headers: Mapping[str, str], arguments: Mapping[str, str], body: bytes) -> Query:
    """Read the statement, rows, parameters and settings of a request.

    Raises:
        EngineError: something in it is not supported or not valid.
    """
    if arguments.get("compress") == "1" or arguments.get("decompress") == "1":
        raise EngineError(
            "Code: 48. DB::Exception: ClickHouse's own block compression is not served here; use HTTP compression."
        )
    settings = {key: value for key, value in arguments.items() if key not in _RESERVED and not key.startswith("param_")}
    for name in settings:
        if not _SETTING_NAME.fullmatch(name):
            raise EngineError(f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
    sql, rows, rows_format = _split(arguments.get("query", ""), _decompress(headers, body))
    output_format = arguments.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    named = _TRAILING_FORMAT.search(sql)
    return Query(
        statement=Statement(
            sql=sql,
            output_format=output_format,
            database=arguments.get("database") or headers.get("x-clickhouse-database") or "",
            settings=settings,
            parameters={key[6:]: value for key, value in arguments.items() if key.startswith("param_")},
            rows=rows,
            rows_format=rows_format,
        ),
        query_id=arguments.get("query_id") or secrets.token_hex(16),
        answer_format=named[1] if named else output_format,
        answer_encoding=_answer_encoding(headers) if arguments.get("enable_http_compression") == "1" else None,
    )


def compress(body: bytes, encoding: str | None) -> tuple[bytes, str | None]:
    """Return the answer's bytes and their encoding; a short answer stays plain."""
    if encoding is None or len(body) < _COMPRESS_FROM_BYTES:
        return body, None
    packed: bytes = pa.compress(body, codec=_PYARROW_CODEC[encoding], asbytes=True)
    return packed, encoding


def _split(query: str, body: bytes) -> tuple[str, memoryview | None, str]:
    """Tell the statement from the rows: both are in the body, or the statement is in the URL."""
    in_url = bool(query.strip())
    head = query.encode() if in_url else body[:_HEAD_BYTES]
    match = _INSERT_HEAD.match(head)
    if match is not None:
        rows = memoryview(body)
        if not in_url:
            rows = rows[match.end() :]
        elif match.end() < len(head):
            rows = memoryview(head[match.end() :] + b"\n" + body)
        return match["insert"].decode(), rows, match["format"].decode()
    if in_url:
        values = _INSERT_VALUES.match(head)
        if values is not None:
            return values["insert"].decode(), memoryview(body), "Values"
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise EngineError("Code: 62. DB::Exception: The query is not UTF-8. (SYNTAX_ERROR)") from exc
    return "\n".join(part for part in (query, text) if part.strip()), None, ""


def _decompress(headers: Mapping[str, str], body: bytes) -> bytes:
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding in ("", "identity") or not body:
        return body
    try:
        if encoding == "deflate":
            return zlib.decompress(body)
        if encoding in _PYARROW_CODEC:
            source = pa.BufferReader(pa.py_buffer(body))
            plain: bytes = pa.CompressedInputStream(source, _PYARROW_CODEC[encoding]).read()
            return plain
    except (OSError, zlib.error) as exc:
        raise EngineError(f"Code: 271. DB::Exception: The body is not valid {encoding}: {exc}") from exc
    raise EngineError(f"Code: 89. DB::Exception: Unknown Content-Encoding {encoding}. (UNKNOWN_COMPRESSION_METHOD)")


def _answer_encoding(headers: Mapping[str, str]) -> str | None:
    accepted = {part.split(";")[0].strip().lower() for part in headers.get("accept-encoding", "").split(",")}
    return next((codec for codec in _ANSWER_CODECS if codec in accepted), None)
