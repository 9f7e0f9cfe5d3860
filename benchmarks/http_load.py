"""Requests over HTTP/1.1 as fast as they are answered, or at a given rate. It costs little: the server has the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from benchmarks.figures import WrongNumbers, percentile

Check = Callable[[int, bytes], None]
"""Called with a request's number and the answer's body. Raises: WrongNumbers."""
_TIMEOUT_S: Final = 30.0
_WARM_UP: Final = 0.1


@dataclass(slots=True)
class Measured:
    """When requests were answered, and how long each took."""

    done_at: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        """Return answers a second, after a warm-up."""
        done = sorted(self.done_at)[int(len(self.done_at) * _WARM_UP) :]
        return (len(done) - 1) / (done[-1] - done[0])

    def ms(self, share: float) -> float:
        """Return a percentile of the latencies, after a warm-up."""
        return percentile(self.latencies_ms[int(len(self.latencies_ms) * _WARM_UP) :], share)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request's bytes; underscores in names of headers become dashes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def at_full_speed(url: str, requests: Sequence[bytes], *, connections: int, check: Check) -> Measured:
    """Send each request once; a connection sends the next when it has an answer. Raises: WrongNumbers."""
    return await _send(url, requests, connections, check, rate=None)


async def at_rate(url: str, requests: Sequence[bytes], *, a_second: float, connections: int, check: Check) -> Measured:
    """Send each request once, when it is due: waiting for a connection counts as latency. Raises: WrongNumbers."""
    return await _send(url, requests, connections, check, rate=a_second)


async def _send(url: str, requests: Sequence[bytes], connections: int, check: Check, *, rate: float | None) -> Measured:
    measured = Measured()
    numbered = iter(enumerate(requests))
    opened = [await _Connection.open(url) for _ in range(connections)]
    began = time.perf_counter()

    async def use(connection: _Connection) -> None:
        for number, raw in numbered:
            due = time.perf_counter()
            if rate is not None:
                due = began + number / rate
                await asyncio.sleep(due - time.perf_counter())
            async with asyncio.timeout(_TIMEOUT_S):
                status, body = await connection.ask(raw)
            done = time.perf_counter()
            if status != 200:
                raise WrongNumbers(f"request {number} was answered with {status}: {body[:300]!r}")
            check(number, body)
            measured.done_at.append(done)
            measured.latencies_ms.append((done - due) * 1e3)

    try:
        await asyncio.gather(*(use(connection) for connection in opened))
    finally:
        for connection in opened:
            connection.close()
    return measured


class _Connection(asyncio.Protocol):
    """One connection that stays open; one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, url: str) -> _Connection:
        """Connect."""
        place = urlsplit(url)
        assert place.hostname is not None
        assert place.port is not None
        _, connection = await asyncio.get_running_loop().create_connection(cls, place.hostname, place.port)
        return connection

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Return status and body. Raises: WrongNumbers when the server hangs up."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Gather an answer; every answer of ours has a Content-Length."""
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        end = head_end + 4 + length
        if len(self._received) < end or self._answer is None:
            return
        body = bytes(self._received[head_end + 4 : end])
        del self._received[:end]
        if not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WrongNumbers(f"the server hung up: {exc}"))
