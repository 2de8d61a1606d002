"""Listening and speaking over gRPC: typed streams that end with their `async with`, and errors as MeshErrors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message
from hocket.speech.v1 import speech_pb2, speech_pb2_grpc

from chassis.channel import MeshChannel
from chassis.status import mesh_errors

STREAM_TIMEOUT_S = 4 * 3600.0
SAY_TIMEOUT_S = 60.0
BYTES_PER_SAMPLE = 2
# The service takes at most one second of audio and 16 KiB of text a message; UTF-8 has at most 4 bytes a character.
AUDIO_MESSAGE_S_MAX = 1.0
TEXT_MESSAGE_CHARS_MAX = 4096

_CORE_ERROR = "Internal error from Core"
_STATUS_TRIES = 20
_STATUS_WAIT_S = 0.005

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


class SpeechStream(Generic[Q, R]):
    """One RPC in both directions: send from any task, read from one; leaving the `async with` cancels it."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Q, R], opening: Q) -> None:
        """Wrap a call that was just begun; `opening` holds its config and is sent on entering."""
        self._call = call
        self._opening = opening
        # gRPC takes one message at a time; a flush or cancel may come from another task than the data.
        self._sending = asyncio.Lock()
        self._status: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note_status)

    async def __aenter__(self) -> Self:
        """Send the config."""
        await self._send(self._opening)
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

    async def end(self) -> None:
        """Send nothing more; the server answers what is still open and ends the stream."""
        async with self._sending:
            if not self._call.done():
                try:
                    await self._call.done_writing()
                except grpc.aio.AioRpcError:
                    await self._raise_status()

    async def _send(self, request: Q) -> None:
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


class TranscribeStream(SpeechStream[speech_pb2.TranscribeRequest, speech_pb2.TranscribeResponse]):
    """Audio in; speech_started, interim, preflight, final, end_of_turn and usage out."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[speech_pb2.TranscribeRequest, speech_pb2.TranscribeResponse],
        config: speech_pb2.TranscribeConfig,
    ) -> None:
        """Open with `config`."""
        super().__init__(call, speech_pb2.TranscribeRequest(config=config))
        self._message_bytes_max = (
            int(config.sample_rate_hz * AUDIO_MESSAGE_S_MAX) * BYTES_PER_SAMPLE or BYTES_PER_SAMPLE
        )

    async def send_audio(self, pcm: bytes) -> None:
        """Send signed 16-bit little-endian mono PCM of any length, at the config's rate; 20 ms at a time is best."""
        for start in range(0, len(pcm), self._message_bytes_max):
            await self._send(speech_pb2.TranscribeRequest(audio=pcm[start : start + self._message_bytes_max]))

    async def flush(self) -> None:
        """Ask for a final transcript of what was heard so far."""
        await self._send(speech_pb2.TranscribeRequest(flush=speech_pb2.Flush()))


class SynthesizeStream(SpeechStream[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse]):
    """Text in; format, audio, flushed and usage out."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse],
        config: speech_pb2.SynthesizeConfig,
    ) -> None:
        """Open with `config`."""
        super().__init__(call, speech_pb2.SynthesizeRequest(config=config))

    async def send_text(self, text: str) -> None:
        """Send text as it is written, in pieces of any size."""
        for start in range(0, len(text), TEXT_MESSAGE_CHARS_MAX):
            await self._send(speech_pb2.SynthesizeRequest(text=text[start : start + TEXT_MESSAGE_CHARS_MAX]))

    async def flush(self) -> None:
        """Have spoken what was sent, without waiting for the end of a sentence; a `flushed` event answers."""
        await self._send(speech_pb2.SynthesizeRequest(flush=speech_pb2.Flush()))

    async def cancel(self) -> None:
        """Stop speaking; the stream ends after its usage event. To drop that too, leave the `async with`."""
        await self._send(speech_pb2.SynthesizeRequest(cancel=speech_pb2.Cancel()))


class SpeechClient:
    """Calls `hocket.speech.v1.SpeechService`."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`, which the caller closes."""
        self._channel = channel
        self._stub = speech_pb2_grpc.SpeechServiceStub(channel.channel)

    def transcribe(self, config: speech_pb2.TranscribeConfig, timeout_s: float = STREAM_TIMEOUT_S) -> TranscribeStream:
        """A stream that listens for at most `timeout_s` seconds; use as `async with`."""
        return TranscribeStream(self._stub.Transcribe(**self._channel.options(timeout_s)), config)

    def synthesize(self, config: speech_pb2.SynthesizeConfig, timeout_s: float = STREAM_TIMEOUT_S) -> SynthesizeStream:
        """A stream that speaks for at most `timeout_s` seconds; use as `async with`."""
        return SynthesizeStream(self._stub.Synthesize(**self._channel.options(timeout_s)), config)

    async def say(self, text: str, config: speech_pb2.SynthesizeConfig, timeout_s: float = SAY_TIMEOUT_S) -> bytes:
        """The whole of `text` as signed 16-bit mono PCM at `config.sample_rate_hz` (0: the engine's own rate)."""
        pcm = bytearray()
        async with self.synthesize(config, timeout_s) as stream:
            await stream.send_text(text)
            await stream.end()
            async for response in stream:
                pcm += response.audio.pcm
        return bytes(pcm)
