"""Bidirectional streams whose errors are those of the server."""

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
    """Bidirectional RPC. Any task may send, one task reads; leaving the `async with` cancels the call."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Q, R], opening: Q | None = None) -> None:
        """Wrap a new call; `opening`, its first message, is sent on entering the `async with`."""
        self._call = call
        self._opening = opening
        # gRPC accepts one write at a time, while a flush or cancel may come from another task than the data.
        self._sending = asyncio.Lock()
        self._status: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep_status)

    async def __aenter__(self) -> Self:
        """Send the opening message."""
        if self._opening is not None:
            await self.send(self._opening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the call unless it has ended."""
        self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[R]:
        """Yield responses until the server ends the stream. Raises the MeshError that the server raised."""
        try:
            async for response in self._call:
                yield response
        except grpc.aio.AioRpcError:
            await self._raise_status()

    async def receive(self) -> R | None:
        """Return the next response; None once the stream ended with OK. Raises the MeshError that the server raised."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            await self._raise_status()
            return None
        return None if message is grpc.aio.EOF else cast("R", message)

    async def end(self) -> None:
        """Half-close: send nothing more; the server finishes its responses and ends the stream."""
        async with self._sending:
            if not self._call.done():
                try:
                    await self._call.done_writing()
                except grpc.aio.AioRpcError:
                    await self._raise_status()

    async def send(self, request: Q) -> None:
        """Send one message; it is dropped where the server has ended the stream with OK.

        Raises:
            MeshError: The error with which the server ended the stream.
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
        """Raise the server's error; return where the call ended with OK.

        A write to a call that the server has just ended fails with an INTERNAL of gRPC itself, which hides the server's
        status. That status arrived shortly before (`_keep_status` has it) or arrives shortly after.
        """
        for _ in range(_STATUS_TRIES):
            if self._status is not None:
                break
            await asyncio.sleep(_STATUS_WAIT_S)
        status = self._status or await self._read_status()
        if status.code() is not grpc.StatusCode.OK:
            with mesh_errors():
                raise status

    def _keep_status(self, _: object) -> None:
        """Keep the status unless it is gRPC's own INTERNAL; called when the call is done."""
        reading = self._read_status()
        try:
            # Read synchronously: a task would run after gRPC has replaced the status.
            reading.send(None)
        except StopIteration as read:
            status: grpc.aio.AioRpcError = read.value
            if (status.code(), status.details()) != (grpc.StatusCode.INTERNAL, _CORE_ERROR):
                self._status = status
        finally:
            reading.close()

    async def _read_status(self) -> grpc.aio.AioRpcError:
        """Return the current status of the call."""
        call = self._call
        code, details, trailing = await call.code(), await call.details(), await call.trailing_metadata()
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=details)
