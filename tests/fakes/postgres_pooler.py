"""A proxy in front of Postgres that shows what PgBouncer in transaction mode shows, and notes what would break there.

Like PgBouncer it gives each client a process id of its own making. It keeps one session per client, and notes each
message that relies on it after the end of a transaction: a named prepared statement, and a Bind without its Parse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import cast
from urllib.parse import urlsplit

_PROTOCOL_3 = 196608


class Pooler:
    """A running proxy.

    Attributes:
        url: URL to use instead of the server's.
        faults: Messages that would fail in another session.
        frozen: Set to forward no more answers of the server.
    """

    def __init__(self) -> None:
        self.url = ""
        self.faults: list[str] = []
        self.frozen = False


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[Pooler]:
    """Run the proxy in front of the server of `url`."""
    parts = urlsplit(url)
    found = Pooler()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with _closed_at_end(writer), suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
            client = _Client(found)
            with _closed_at_end(to_server):
                copying = [
                    asyncio.ensure_future(client.forward(reader, to_server)),
                    asyncio.ensure_future(client.answer(from_server, writer)),
                ]
                try:
                    await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in copying:
                        each.cancel()
                    await asyncio.gather(*copying, return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    try:
        yield found
    finally:
        # A connection (of a cancelled statement) that is accepted while the server closes would never be closed.
        for _ in range(50):
            await asyncio.sleep(0)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round of the loop


@contextmanager
def _closed_at_end(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.close()


class _Client:
    """One client's connection; `_parsed` is true while a session is surely the one of the last Parse."""

    def __init__(self, pooler: Pooler) -> None:
        self._pooler = pooler
        self._parsed = False

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code = 0
        while code != _PROTOCOL_3:  # before it, a request for TLS
            length, body = await _body(reader)
            writer.write(length + body)
            code = int.from_bytes(body[:4], "big")
        while True:
            kind = await reader.readexactly(1)
            length, body = await _body(reader)
            if kind == b"P":
                self._parsed = True
                if body[0]:
                    self._pooler.faults.append(f"named statement {body.split(bytes(1))[:2]}")
            if kind == b"B" and not self._parsed:
                self._pooler.faults.append("Bind without Parse")
            writer.write(kind + length + body)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = await reader.readexactly(1)
        if kind == b"N":  # no TLS
            writer.write(kind)
            kind = await reader.readexactly(1)
        while True:
            length, body = await _body(reader)
            if kind == b"K":  # BackendKeyData
                body = (int.from_bytes(body[:4], "big") ^ 0x5A5A).to_bytes(4, "big") + body[4:]
            if kind == b"Z" and body == b"I":  # ReadyForQuery, no transaction
                self._parsed = False
            if not self._pooler.frozen:
                writer.write(kind + length + body)
            kind = await reader.readexactly(1)


async def _body(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    length = await reader.readexactly(4)
    return length, await reader.readexactly(int.from_bytes(length, "big") - 4)
