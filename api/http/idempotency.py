"""`Idempotency-Key` on writes: the same request again gets the first one's answer, for 24 hours.

`allowed` claims the key once the caller is known and may write; the middleware keeps the answer. What asks to come
later (5xx, 429, whatever carries Retry-After) is not kept: then the same request is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI, Header, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.stores import Stores
from runtime.errors import ConflictError, MeterstreamError
from runtime.logging import get_logger
from sinks.postgres.access import Access
from sinks.postgres.idempotency import Begun, Known, begin, forget, keep

log = get_logger(__name__)

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
_STATE: Final = "idempotency"
_NONCE_BYTES: Final = 12
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Any text of yours, such as a UUID. The same request again with the same key gets the first answer"
        " for 24 hours, with `Idempotent-Replayed: true`; another request with it is refused.",
        examples=["0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e"],
    ),
]


class _Answer(msgspec.Struct, array_like=True):
    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """A key that this request holds."""

    begun: Begun
    access: Access
    cipher: AESGCM


class Replay(Exception):
    """Carries the first answer from the dependency that found it to the client."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


async def claim(request: Request, stores: Stores, access: Access, key: str | None, *, member: str | None) -> None:
    """Hold the key of a write until it is answered.

    `member`: which person it is of, where `access` is an organization's: what they are told is not their colleagues'.

    Raises: Replay with the answer of the same request before; ConflictError for another request under the same key,
    and while the first one is at work.
    """
    if key is None or request.method not in _WRITES:
        return
    secret = key.encode() if member is None else f"{member}\n{key}".encode()
    async with stores.postgres.acting(access) as connection:
        found = await begin(
            connection,
            key_hash=hashlib.sha256(b"key\n" + secret).digest(),
            request_hash=_hash(request, await request.body()),
        )
    # Answers may tell secrets, and whoever reads the table has not got the key that this one comes from.
    cipher = AESGCM(hashlib.sha256(b"answer\n" + secret).digest())
    if isinstance(found, Known):
        raise _repeated(found, cipher, request_hash=_hash(request, await request.body()))
    request.scope["state"][_STATE] = _Claim(found, access, cipher)


def _hash(request: Request, body: bytes) -> bytes:
    query = request.scope.get("query_string", b"")
    head = f"{request.method} {request.scope['path']}?".encode() + query
    return hashlib.sha256(head + b"\n" + body).digest()


def _repeated(known: Known, cipher: AESGCM, *, request_hash: bytes) -> Exception:
    if known.request_hash != request_hash:
        return ConflictError(
            "This Idempotency-Key was used for another request within 24 hours: take a new key for each.",
            code="IDEMPOTENCY_KEY_REUSED",
        )
    if known.status is None or known.answer is None:
        return ConflictError(
            "The first request with this Idempotency-Key is still at work: ask again in a second.",
            code="IDEMPOTENCY_KEY_IN_USE",
            retry_after_s=1,
        )
    sealed = known.answer
    try:
        opened = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except InvalidTag as exc:
        return exc
    answer = msgspec.msgpack.decode(opened, type=_Answer)
    headers = {REPLAYED: "true"}
    return Replay(Response(answer.body, known.status, headers, media_type=answer.media_type or None))


def install_replays(app: FastAPI) -> None:
    """Let `Replay` end a request with the answer that it carries."""

    async def answer(_: Request, replay: Exception) -> Response:
        assert isinstance(replay, Replay)
        return replay.response

    app.add_exception_handler(Replay, answer)


class KeptAnswers:
    """Middleware: keeps the answer of a request that holds a key, before the client can have it and ask again."""

    def __init__(self, app: ASGIApp, *, stores: Stores) -> None:
        self._app = app
        self._stores = stores

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] not in _WRITES:
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        held: list[Message] = []

        async def hold(message: Message) -> None:
            if _STATE not in state:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await self._settle(state.pop(_STATE), held)
                for each in held:
                    await send(each)

        try:
            await self._app(scope, receive, hold)
        finally:
            if _STATE in state:  # a bug, and no answer of ours
                await asyncio.shield(self._settle(state.pop(_STATE), []))

    async def _settle(self, claimed: _Claim, messages: list[Message]) -> None:
        try:
            async with self._stores.postgres.acting(claimed.access) as connection:
                if not messages or not _is_final(messages[0]):
                    await forget(connection, claimed.begun)
                    return
                body = b"".join(message.get("body", b"") for message in messages[1:])
                media_type = Headers(raw=messages[0]["headers"]).get("content-type", "")
                nonce = os.urandom(_NONCE_BYTES)
                opened = msgspec.msgpack.encode(_Answer(body, media_type))
                await keep(
                    connection,
                    claimed.begun,
                    status=messages[0]["status"],
                    answer=nonce + claimed.cipher.encrypt(nonce, opened, None),
                )
        except MeterstreamError as exc:
            # The write is done; its key stays claimed until its time is over, and then a repetition works again.
            log.warning("Could not keep an answer under its Idempotency-Key", reason=exc.message)


def _is_final(start: Message) -> bool:
    """Say whether the same request would get the same answer, as opposed to one that asks to come later."""
    return start["status"] < 500 and start["status"] != 429 and "retry-after" not in Headers(raw=start["headers"])
