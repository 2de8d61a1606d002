"""A call in both directions, with the status that its server sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from hocket.chassis.status import mesh_errors

_CORE_ERROR = "Internal error from Core"
_STATUS_TRIES = 20
_STATUS_WAIT_S = 0.005

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


class DuplexStream(Generic[Q, R]):
    """One RPC in both directions: send from any task, read from one; leaving the `async with` cancels it."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Q, R], opening: Q | None = None) -> None:
        """Wrap a call that was just begun; `opening`, if any, is its first message and sent on entering."""
        self._call = call
        self._opening = opening
        # gRPC takes one message at a time; a flush or cancel may come from another task than the data.
        self._sending = asyncio.Lock()
        self._status: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note_status)

    async def __aenter__(self) -> Self:
        """Send the opening."""
        if self._opening is not None:
            await self.send(self._opening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the call unless it has ended."""
        self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[R]:
        """The server's messages until it ends the stream. Raises the MeshError that the server raised."""
        try:
            async for response in self._call:
                yield response
        except grpc.aio.AioRpcError:
            await self._raise_status()

    async def receive(self) -> R | None:
        """The server's next message, or None when it ended the stream well. Raises the MeshError that it raised."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            await self._raise_status()
            return None
        return None if message is grpc.aio.EOF else cast("R", message)

    async def end(self) -> None:
        """Send nothing more; the server answers what is still open and ends the stream."""
        async with self._sending:
            if not self._call.done():
                try:
                    await self._call.done_writing()
                except grpc.aio.AioRpcError:
                    await self._raise_status()

    async def send(self, request: Q) -> None:
        """Send one message; a stream that the server ended well takes no more and drops it.

        Raises the MeshError of a stream that the server broke off.
        """
        async with self._sending:
            try:
                await self._call.write(request)
            except grpc.aio.AioRpcError:
                await self._raise_status()
            except asyncio.InvalidStateError:
                if not self._call.done():
                    raise
                await self._raise_status()

    async def _raise_status(self) -> None:
        """Raise the MeshError that the server raised; return where it ended the call well.

        When a message meets a call that the server has just ended, gRPC puts an INTERNAL of its own over the server's
        status, which was there a moment before or will be a moment later.
        """
        for _ in range(_STATUS_TRIES):
            if self._status is not None:
                break
            await asyncio.sleep(_STATUS_WAIT_S)
        status = self._status or await self._read_status()
        if status.code() is not grpc.StatusCode.OK:
            with mesh_errors():
                raise status

    def _note_status(self, _: object) -> None:
        """Keep the status that the server sent; gRPC calls this for its own one too."""
        reading = self._read_status()
        try:
            # A status that is there is read without waiting; a task would read it after the other has replaced it.
            reading.send(None)
        except StopIteration as read:
            status: grpc.aio.AioRpcError = read.value
            if (status.code(), status.details()) != (grpc.StatusCode.INTERNAL, _CORE_ERROR):
                self._status = status
        finally:
            reading.close()

    async def _read_status(self) -> grpc.aio.AioRpcError:
        """The status as it is now."""
        call = self._call
        code, details, trailing = await call.code(), await call.details(), await call.trailing_metadata()
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=details)
