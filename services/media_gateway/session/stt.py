"""livekit-agents' STT over speech: one stream for the whole conversation, reopened after each failure."""

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
_BACKOFF_S_MIN, _BACKOFF_S_MAX = 0.1, 2.0
# Consecutive failures before an outage is reported; a single one may be a rolling restart.
_FAILURES_REPORTED = 2
_log = structlog.get_logger()


class MeshStt(stt.STT[Any]):
    """Transcribes with speech. It raises no error: audio during an outage is dropped, and `on_outage` reports it."""

    def __init__(
        self,
        client: SpeechClient,
        *,
        language: str,
        key_terms: tuple[str, ...],
        room: str,
        on_outage: Callable[[], None],
        on_cost: Callable[[int], None],
        on_transcript: Callable[[str], None],
    ) -> None:
        """Transcribe for one session.

        Args:
            client: Client whose token names the tenant.
            language: BCP 47 tag of the spoken language.
            key_terms: Terms that the recognizer favours.
            room: Name of the room within the tenant.
            on_outage: Called once per outage.
            on_cost: Called with each cost in micro-USD.
            on_transcript: Called with the text of each transcript, interim ones included.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True, offline_recognize=False)
        )
        self.client = client
        self.config = pb.TranscribeConfig(
            sample_rate_hz=SAMPLE_RATE_HZ, language=language, key_terms=key_terms, room=room
        )
        self.on_outage, self.on_cost, self.on_transcript = on_outage, on_cost, on_transcript

    @property
    def model(self) -> str:
        """A constant; speech chooses the engine."""
        return "routed"

    @property
    def provider(self) -> str:
        """Name of the provider in livekit-agents' telemetry."""
        return "hocket"

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,  # noqa: ARG002 - not served
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - not served
        conn_options: APIConnectOptions,  # noqa: ARG002 - not served
    ) -> stt.SpeechEvent:
        raise Unimplemented("speech transcribes streams only; use stream() instead of recognize()")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - set by the tenant's settings
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Start to transcribe."""
        return _MeshRecognizeStream(self, conn_options)


class _MeshRecognizeStream(stt.RecognizeStream):
    def __init__(self, mesh: MeshStt, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=mesh, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._mesh = mesh
        self._failures = 0
        self._utterances = 0

    async def _run(self) -> None:
        while True:
            try:
                async with self._mesh.client.transcribe(self._mesh.config) as stream:
                    await self._transcribe(stream)
                # speech ended the stream without an error, as it does at its maximum stream duration.
                backoff_s = _BACKOFF_S_MIN
            except MeshError as error:
                self._failures += 1
                _log.warning("transcription failed", error=error.message, failures=self._failures)
                if self._failures == _FAILURES_REPORTED:
                    self._mesh.on_outage()
                backoff_s = min(_BACKOFF_S_MIN * 2**self._failures, _BACKOFF_S_MAX)
            if self._input_ch.closed:
                return
            await self._drop_audio(backoff_s)

    async def _transcribe(self, stream: TranscribeStream) -> None:
        sender = asyncio.create_task(self._send_audio(stream), name="stt-send")
        try:
            async for response in stream:
                self._failures = 0
                self._handle(response)
        finally:
            sender.cancel()
            # A failure of the sender also ends the responses, where it is raised.
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_audio(self, stream: TranscribeStream) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                await stream.send_audio(item.data.tobytes())
        await stream.end()

    async def _drop_audio(self, seconds: float) -> None:
        """Drop audio for `seconds`; buffered, it would grow without bound and be answered late."""
        try:
            async with asyncio.timeout(seconds):
                async for _ in self._input_ch:
                    pass
        except TimeoutError:
            pass

    def _handle(self, response: pb.TranscribeResponse) -> None:
        match response.WhichOneof("event"):
            case "interim":
                self._send_transcript(stt.SpeechEventType.INTERIM_TRANSCRIPT, response.interim)
            case "preflight":
                self._send_transcript(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, response.preflight)
            case "final":
                self._send_transcript(stt.SpeechEventType.FINAL_TRANSCRIPT, response.final)
                self._utterances += 1
            case "usage":
                self._send_usage(response.usage)
            case _:
                # Turns are ended by the session's voice activity detector; speech's end-of-turn events are ignored.
                pass

    def _send_transcript(self, kind: stt.SpeechEventType, transcript: pb.Transcript) -> None:
        if not transcript.text:
            return
        self._mesh.on_transcript(transcript.text)
        data = stt.SpeechData(
            language=LanguageCode(self._mesh.config.language or "en-US"),
            text=transcript.text,
            confidence=transcript.confidence,
            end_time=_seconds(transcript.audio_end),
        )
        self._event_ch.send_nowait(
            stt.SpeechEvent(type=kind, request_id=f"utterance-{self._utterances}", alternatives=[data])
        )

    def _send_usage(self, usage: pb.TranscribeUsage) -> None:
        self._mesh.on_cost(usage.cost_micro_usd)
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.RECOGNITION_USAGE,
                recognition_usage=stt.RecognitionUsage(audio_duration=_seconds(usage.audio)),
            )
        )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
