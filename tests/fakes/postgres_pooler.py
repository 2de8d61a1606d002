"""A proxy in front of Postgres that shows what PgBouncer in transaction mode shows, and notes what would break there.

Like PgBouncer it gives each client a process id of its own making. It keeps one session per client, and notes each
message that relies on it after the end of a transaction: a named prepared statement, and a Bind without its Parse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_PROTOCOL_3 = 196608


class Pooler:
    """A running proxy.

    Attributes:
        url: URL to use instead of the server's.
        faults: Messages that would fail in another session.
    """

    def __init__(self) -> None:
        self.url = ""
        self.faults: list[str] = []


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[Pooler]:
    """Run the proxy in front of the server of `url`."""
    parts = urlsplit(url)
    found = Pooler()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
        client = _Client(found.faults)
        tasks.add(asyncio.create_task(_until_closed(client.forward(reader, to_server), to_server)))
        tasks.add(asyncio.create_task(_until_closed(client.answer(from_server, writer), writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_closed(copying, writer: asyncio.StreamWriter) -> None:
    try:
        await copying
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class _Client:
    """One client's connection; `_parsed` is true while a session is surely the one of the last Parse."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
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
                    self._faults.append(f"named statement {body.split(bytes(1))[:2]}")
            if kind == b"B" and not self._parsed:
                self._faults.append("Bind without Parse")
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
            writer.write(kind + length + body)
            kind = await reader.readexactly(1)


async def _body(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    length = await reader.readexactly(4)
    return length, await reader.readexactly(int.from_bytes(length, "big") - 4)
