"""Listening and speaking over gRPC: typed streams that end with their `async with`, and errors as MeshErrors."""

from __future__ import annotations

import grpc
from hocket.speech.v1 import speech_pb2, speech_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.duplex import DuplexStream

STREAM_TIMEOUT_S = 4 * 3600.0
SAY_TIMEOUT_S = 60.0
BYTES_PER_SAMPLE = 2
# The service takes at most one second of audio and 16 KiB of text a message; UTF-8 has at most 4 bytes a character.
AUDIO_MESSAGE_S_MAX = 1.0
TEXT_MESSAGE_CHARS_MAX = 4096


class TranscribeStream(DuplexStream[speech_pb2.TranscribeRequest, speech_pb2.TranscribeResponse]):
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
            await self.send(speech_pb2.TranscribeRequest(audio=pcm[start : start + self._message_bytes_max]))

    async def flush(self) -> None:
        """Ask for a final transcript of what was heard so far."""
        await self.send(speech_pb2.TranscribeRequest(flush=speech_pb2.Flush()))


class SynthesizeStream(DuplexStream[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse]):
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
            await self.send(speech_pb2.SynthesizeRequest(text=text[start : start + TEXT_MESSAGE_CHARS_MAX]))

    async def flush(self) -> None:
        """Have spoken what was sent, without waiting for the end of a sentence; a `flushed` event answers."""
        await self.send(speech_pb2.SynthesizeRequest(flush=speech_pb2.Flush()))

    async def cancel(self) -> None:
        """Stop speaking; the stream ends after its usage event. To drop that too, leave the `async with`."""
        await self.send(speech_pb2.SynthesizeRequest(cancel=speech_pb2.Cancel()))


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
