"""A TCP proxy before Postgres that can lose the answer to a COMMIT: the server has done it, the client never hears."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_COMMIT = b"COMMIT"
_CHUNK = 65_536


class LossyProxy:
    """Forwards everything; of the next `armed` commits it lets the statement pass and cuts before the answer."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.lost = 0
        """How many answers were lost."""
        self._armed = 0
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None

    def lose_answers(self, count: int) -> None:
        """Lose the answers to the next `count` commits."""
        self._armed = count

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            to_client.close()
            return
        doomed = asyncio.Event()
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._statements(client, to_server, doomed), self._answers(server, to_client, to_server, doomed)
            )
        for writer in (to_client, to_server):
            writer.close()

    async def _statements(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while data := await client.read(_CHUNK):
            # psycopg sends COMMIT as a message of its own, so it is never cut in two.
            if self._armed and _COMMIT in data:
                self._armed -= 1
                doomed.set()
            to_server.write(data)
            await to_server.drain()
        if not doomed.is_set():
            to_server.close()

    async def _answers(
        self,
        server: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
        doomed: asyncio.Event,
    ) -> None:
        while data := await server.read(_CHUNK):
            if doomed.is_set():  # the answer: the commit is done, and nobody will know
                self.lost += 1
                break
            to_client.write(data)
            await to_client.drain()
        to_client.close()
        to_server.close()

    def run(self) -> None:
        """Serve until `stop`; for a thread."""
        self._loop.run_until_complete(self._serve())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                self._loop.run_until_complete(task)
        self._loop.close()

    def stop(self) -> None:
        """End `run`."""
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def lossy_proxy(host: str, port: int) -> Iterator[LossyProxy]:
    """Run a proxy in a thread."""
    proxy = LossyProxy(host, port)
    thread = threading.Thread(target=proxy.run, name="proxy", daemon=True)
    thread.start()
    assert proxy._ready.wait(10)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(timeout=20)
        assert not thread.is_alive(), "the proxy did not stop"
