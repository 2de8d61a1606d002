"""livekit-agents' STT over speech: one stream as long as the conversation, reopened for as long as it takes."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from google.protobuf.duration_pb2 import Duration
from hocket.speech.v1 import speech_pb2 as pb
from livekit import rtc
from livekit.agents import LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import AudioBuffer

from hocket.chassis.errors import MeshError, Unimplemented
from hocket.client.speech import SpeechClient, TranscribeStream

SAMPLE_RATE_HZ = 16_000
_BACKOFF_S = (0.1, 2.0)
# Failures in a row before the person is told; the first may be a rollout.
_FAILURES_TOLD = 2
_log = structlog.get_logger()


class MeshStt(stt.STT[Any]):
    """Listens over speech. It never fails: what is said while speech is away is lost, and `on_trouble` tells so."""

    def __init__(
        self,
        client: SpeechClient,
        *,
        language: str,
        key_terms: tuple[str, ...],
        room: str,
        on_trouble: Callable[[], None],
        on_cost: Callable[[int], None],
        on_words: Callable[[str], None],
    ) -> None:
        """Listen over `client`.

        `on_trouble` is called once an outage, `on_cost` with micro-USD, `on_words` with each transcript, interim too.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True, offline_recognize=False)
        )
        self.client = client
        self.config = pb.TranscribeConfig(
            sample_rate_hz=SAMPLE_RATE_HZ, language=language, key_terms=key_terms, room=room
        )
        self.on_trouble, self.on_cost, self.on_words = on_trouble, on_cost, on_words

    @property
    def model(self) -> str:
        """Speech decides."""
        return "routed"

    @property
    def provider(self) -> str:
        """Who listens."""
        return "hocket"

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,  # noqa: ARG002 - not served
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - not served
        conn_options: APIConnectOptions,  # noqa: ARG002 - not served
    ) -> stt.SpeechEvent:
        raise Unimplemented("speech listens to streams only")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - the tenant's settings say
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Begin to listen."""
        return _Listening(self, conn_options)


class _Listening(stt.RecognizeStream):
    def __init__(self, mesh: MeshStt, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=mesh, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._mesh = mesh
        self._failures = 0
        self._utterances = 0

    async def _run(self) -> None:
        while True:
            try:
                async with self._mesh.client.transcribe(self._mesh.config) as stream:
                    await self._listen(stream)
                # Ended by the service, as at its longest stream.
                rest_s = _BACKOFF_S[0]
            except MeshError as error:
                self._failures += 1
                _log.warning("speech does not listen", error=error.message, failures=self._failures)
                if self._failures == _FAILURES_TOLD:
                    self._mesh.on_trouble()
                rest_s = min(_BACKOFF_S[0] * 2**self._failures, _BACKOFF_S[1])
            if self._input_ch.closed:
                return
            await self._skip(rest_s)

    async def _listen(self, stream: TranscribeStream) -> None:
        sender = asyncio.create_task(self._send(stream), name="stt-send")
        try:
            async for response in stream:
                self._failures = 0
                self._take(response)
        finally:
            sender.cancel()
            # What ends the sending ends the reading too, and is raised there.
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, stream: TranscribeStream) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                await stream.send_audio(item.data.tobytes())
        await stream.end()

    async def _skip(self, seconds: float) -> None:
        """Drop what is said for `seconds`: kept, it would grow without bound and be answered late."""
        try:
            async with asyncio.timeout(seconds):
                async for _ in self._input_ch:
                    pass
        except TimeoutError:
            pass

    def _take(self, response: pb.TranscribeResponse) -> None:
        match response.WhichOneof("event"):
            case "interim":
                self._words(stt.SpeechEventType.INTERIM_TRANSCRIPT, response.interim)
            case "preflight":
                self._words(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, response.preflight)
            case "final":
                self._words(stt.SpeechEventType.FINAL_TRANSCRIPT, response.final)
                self._utterances += 1
            case "usage":
                self._usage(response.usage)
            case _:
                # One part owns the end of a turn, the voice activity detector here: speech's own marks are not used.
                pass

    def _words(self, kind: stt.SpeechEventType, transcript: pb.Transcript) -> None:
        if not transcript.text:
            return
        self._mesh.on_words(transcript.text)
        heard = stt.SpeechData(
            language=LanguageCode(self._mesh.config.language or "en-US"),
            text=transcript.text,
            confidence=transcript.confidence,
            end_time=_seconds(transcript.audio_end),
        )
        self._event_ch.send_nowait(
            stt.SpeechEvent(type=kind, request_id=f"utterance-{self._utterances}", alternatives=[heard])
        )

    def _usage(self, usage: pb.TranscribeUsage) -> None:
        self._mesh.on_cost(usage.cost_micro_usd)
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.RECOGNITION_USAGE,
                recognition_usage=stt.RecognitionUsage(audio_duration=_seconds(usage.audio)),
            )
        )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
