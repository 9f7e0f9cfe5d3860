from __future__ import annotations

import gzip
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.request_context import BoundedBody

LIMIT = 1000


async def run(chunks: list[bytes], *, gzipped: bool = False, leave: bool = False) -> tuple[int, list[bytes]]:
    """Send a body in chunks; return the status of the answer and the bodies that the application saw."""
    seen: list[bytes] = []
    sent: list[Any] = []
    messages: list[Any] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if leave else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert not message["more_body"]
        seen.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    headers = [(b"content-encoding", b"gzip")] if gzipped else []
    scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": headers, "state": {}}
    await BoundedBody(app, max_bytes=LIMIT)(scope, receive, send)
    return (sent[0]["status"] if sent else 0), seen


def split(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@settings(deadline=None)
@given(st.binary(max_size=LIMIT), st.integers(1, 300), st.booleans())
async def test_any_chunking_gives_the_same_body(body: bytes, size: int, gzipped: bool) -> None:
    raw = gzip.compress(body) if gzipped else body
    assert await run(split(raw, size), gzipped=gzipped) == (200, [body])


@settings(deadline=None)
@given(st.integers(LIMIT + 1, 100_000), st.integers(1, 3000), st.booleans())
async def test_more_than_the_limit_is_never_handed_on(length: int, size: int, gzipped: bool) -> None:
    raw = gzip.compress(b" " * length) if gzipped else b" " * length
    assert await run(split(raw, size), gzipped=gzipped) == (413, [])


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100).filter(lambda raw: not raw.startswith(b"\x1f\x8b")))
async def test_what_is_not_gzip_is_refused(raw: bytes) -> None:
    assert await run([raw], gzipped=True) == (400, [])


async def test_a_client_that_leaves_gets_no_answer() -> None:
    assert await run([b"half"], leave=True) == (0, [])
