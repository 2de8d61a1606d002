"""A proxy in front of Postgres that, as PgBouncer does, gives each client a process id of its own making."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[str]:
    """Run the proxy in front of the server of `url`; yield the URL to use instead."""
    parts = urlsplit(url)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
        tasks.add(asyncio.create_task(_copy(reader, to_server)))
        tasks.add(asyncio.create_task(_copy(from_server, writer, messages=True)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, messages: bool = False) -> None:
    """Copy bytes; from the server, message by message, with another process id in BackendKeyData ("K")."""
    try:
        if messages:
            head = await reader.readexactly(1)
            if head == b"N":  # no TLS
                writer.write(head)
            else:
                await _message(reader, writer, head)
            while True:
                await _message(reader, writer, await reader.readexactly(1))
        while data := await reader.read(65536):
            writer.write(data)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: bytes) -> None:
    length = await reader.readexactly(4)
    body = await reader.readexactly(int.from_bytes(length, "big") - 4)
    if kind == b"K":
        body = (int.from_bytes(body[:4], "big") ^ 0x5A5A).to_bytes(4, "big") + body[4:]
    writer.write(kind + length + body)
