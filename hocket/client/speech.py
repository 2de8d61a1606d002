"""Client of the speech service: transcription and synthesis as typed streams."""

from __future__ import annotations

import grpc
from hocket.speech.v1 import speech_pb2, speech_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.duplex import DuplexStream

STREAM_TIMEOUT_S = 4 * 3600.0
SAY_TIMEOUT_S = 60.0
BYTES_PER_SAMPLE = 2
# The service accepts 1000 ms of audio and 16 KiB of text per message; UTF-8 has at most 4 bytes per character.
AUDIO_MESSAGE_S_MAX = 1.0
TEXT_MESSAGE_CHARS_MAX = 4096


class TranscribeStream(DuplexStream[speech_pb2.TranscribeRequest, speech_pb2.TranscribeResponse]):
    """One transcription: send audio, iterate over speech_started, interim, preflight, final, end_of_turn and usage.

    Use it as `async with`; leaving the block cancels the call. Iteration raises the error that the server raised.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[speech_pb2.TranscribeRequest, speech_pb2.TranscribeResponse],
        config: speech_pb2.TranscribeConfig,
    ) -> None:
        """Wrap a new call; `SpeechClient.transcribe` makes it."""
        super().__init__(call, speech_pb2.TranscribeRequest(config=config))
        self._message_bytes_max = (
            int(config.sample_rate_hz * AUDIO_MESSAGE_S_MAX) * BYTES_PER_SAMPLE or BYTES_PER_SAMPLE
        )

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio; dropped once the server has ended the stream.

        Args:
            pcm: Signed 16-bit little-endian mono PCM at the config's rate, of any length; 20 ms at a time is best.

        Raises:
            MeshError: The server ended the stream with an error.
        """
        for start in range(0, len(pcm), self._message_bytes_max):
            await self.send(speech_pb2.TranscribeRequest(audio=pcm[start : start + self._message_bytes_max]))

    async def flush(self) -> None:
        """End utterance and turn here: the final transcript of the audio so far follows at once."""
        await self.send(speech_pb2.TranscribeRequest(flush=speech_pb2.Flush()))


class SynthesizeStream(DuplexStream[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse]):
    """One synthesis: send text, iterate over format, audio, flushed and usage.

    Use it as `async with`; leaving the block cancels the call. Iteration raises the error that the server raised.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse],
        config: speech_pb2.SynthesizeConfig,
    ) -> None:
        """Wrap a new call; `SpeechClient.synthesize` makes it."""
        super().__init__(call, speech_pb2.SynthesizeRequest(config=config))

    async def send_text(self, text: str) -> None:
        """Send text as a model writes it, split anywhere; dropped once the server has ended the stream.

        Raises:
            MeshError: The server ended the stream with an error.
        """
        for start in range(0, len(text), TEXT_MESSAGE_CHARS_MAX):
            await self.send(speech_pb2.SynthesizeRequest(text=text[start : start + TEXT_MESSAGE_CHARS_MAX]))

    async def flush(self) -> None:
        """Speak the text so far without a wait for the end of its sentence; `flushed` follows its audio."""
        await self.send(speech_pb2.SynthesizeRequest(flush=speech_pb2.Flush()))

    async def cancel(self) -> None:
        """Stop the synthesis; the stream ends after its usage. To drop the usage too, leave the `async with`."""
        await self.send(speech_pb2.SynthesizeRequest(cancel=speech_pb2.Cancel()))


class SpeechClient:
    """Client of `hocket.speech.v1.SpeechService` for the tenant of the channel's token.

    Example:
        async with MeshChannel("dns:///speech:50051", token) as channel:
            config = TranscribeConfig(sample_rate_hz=16_000, key_terms=["what are your opening hours"])
            async with SpeechClient(channel).transcribe(config) as stream:
                await stream.send_audio(pcm)
                await stream.end()
                async for response in stream:
                    if response.HasField("final"):
                        print(response.final.text)
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`; the caller closes it."""
        self._channel = channel
        self._stub = speech_pb2_grpc.SpeechServiceStub(channel.channel)

    def transcribe(self, config: speech_pb2.TranscribeConfig, timeout_s: float = STREAM_TIMEOUT_S) -> TranscribeStream:
        """Start a transcription.

        Args:
            config: Sample rate (required), language, key terms, turn silence and room.
            timeout_s: Longest duration of the stream in seconds.

        Returns:
            The stream, to be used as `async with`.

        Raises:
            DeadlineExceeded: The deadline of the running RPC has passed.
        """
        return TranscribeStream(self._stub.Transcribe(**self._channel.options(timeout_s)), config)

    def synthesize(self, config: speech_pb2.SynthesizeConfig, timeout_s: float = STREAM_TIMEOUT_S) -> SynthesizeStream:
        """Start a synthesis.

        Args:
            config: Sample rate, language, voice and room; all optional.
            timeout_s: Longest duration of the stream in seconds.

        Returns:
            The stream, to be used as `async with`.

        Raises:
            DeadlineExceeded: The deadline of the running RPC has passed.
        """
        return SynthesizeStream(self._stub.Synthesize(**self._channel.options(timeout_s)), config)

    async def say(self, text: str, config: speech_pb2.SynthesizeConfig, timeout_s: float = SAY_TIMEOUT_S) -> bytes:
        """Synthesize the whole of `text`.

        Args:
            text: UTF-8 text of any length.
            config: Sample rate, language, voice and room; all optional.
            timeout_s: Timeout of the call in seconds.

        Returns:
            Signed 16-bit little-endian mono PCM at `config.sample_rate_hz`, or at the engine's own rate for 0.

        Raises:
            MeshError: The error that the server raised, for instance ResourceExhausted for a spent limit.
        """
        pcm = bytearray()
        async with self.synthesize(config, timeout_s) as stream:
            await stream.send_text(text)
            await stream.end()
            async for response in stream:
                pcm += response.audio.pcm
        return bytes(pcm)
