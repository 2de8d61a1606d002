"""livekit-agents' TTS over speech: text is sent as the model writes it, and speech splits it into sentences."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import array
import asyncio
import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from hocket.speech.v1 import speech_pb2 as pb
from livekit.agents import tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from hocket.chassis.errors import MeshError
from hocket.client.speech import SpeechClient, SynthesizeStream

APOLOGY = "I am sorry, my voice is failing me. Please give me a moment and ask again."
_FRAME_MS = 20
_STREAM_TIMEOUT_S = 300.0
_TONES_HZ = (523.25, 392.0)  # C5 and G4, falling
_TONE_S = 0.18
_log = structlog.get_logger()


class MeshTts(tts.TTS[Any]):
    """Synthesizes with speech. During an outage it plays a recorded apology, so that no answer is silent."""

    def __init__(
        self,
        client: SpeechClient,
        *,
        language: str,
        voice: str,
        room: str,
        sample_rate_hz: int,
        next_audio_s: float,
        on_failure: Callable[[], None],
        on_cost: Callable[[int], None],
    ) -> None:
        """Synthesize for one session.

        Args:
            client: Client whose token names the tenant.
            language: BCP 47 tag of the text's language.
            voice: Voice id of speech; empty for its default.
            room: Name of the room within the tenant.
            sample_rate_hz: Sample rate of the audio.
            next_audio_s: Seconds to wait for audio once speech has text to synthesize.
            on_failure: Called for each synthesis that failed or was late.
            on_cost: Called with each cost in micro-USD.
        """
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=sample_rate_hz, num_channels=1)
        self.client = client
        self.config = pb.SynthesizeConfig(sample_rate_hz=sample_rate_hz, language=language, voice=voice, room=room)
        self.next_audio_s = next_audio_s
        self.on_failure, self.on_cost = on_failure, on_cost
        self._apology = b""

    @property
    def model(self) -> str:
        """A constant; speech chooses the engine."""
        return "routed"

    @property
    def provider(self) -> str:
        """Name of the provider in livekit-agents' telemetry."""
        return "hocket"

    @property
    def apology_pcm(self) -> bytes:
        """Audio for outages: the recorded apology, or two falling tones before it is recorded. 16-bit mono PCM."""
        return self._apology or tones(self.sample_rate)

    async def record_apology(self) -> None:
        """Synthesize the apology and keep its audio; without speech the tones remain."""
        with suppress(MeshError):
            self._apology = await self.client.say(APOLOGY, self.config)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Synthesize a complete text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        """Start to synthesize text that arrives in parts."""
        return _MeshSynthesizeStream(self, conn_options)


class _MeshSynthesizeStream(tts.SynthesizeStream):
    def __init__(self, mesh: MeshTts, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=mesh, conn_options=conn_options)
        self._mesh = mesh
        self._pcm_bytes = 0
        self._all_text_sent = False

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=uuid.uuid4().hex,
            sample_rate=self._mesh.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=_FRAME_MS,
            stream=True,
        )
        output_emitter.start_segment(segment_id=uuid.uuid4().hex)
        try:
            async with asyncio.timeout(None) as audio_timeout:
                async with self._mesh.client.synthesize(self._mesh.config, _STREAM_TIMEOUT_S) as stream:
                    await self._synthesize(stream, audio_timeout, output_emitter)
        except (MeshError, TimeoutError) as error:
            _log.warning("synthesis failed", error=str(error) or "late", pcm_bytes=self._pcm_bytes)
            self._mesh.on_failure()
            if not self._pcm_bytes:
                self._push(output_emitter, self._mesh.apology_pcm)
        if not self._pcm_bytes:
            # Text without a word ("...") yields no audio, which livekit-agents would treat as a failure.
            self._push(output_emitter, bytes(2 * self._mesh.sample_rate * _FRAME_MS // 1000))
        output_emitter.end_segment()

    async def _synthesize(
        self, stream: SynthesizeStream, audio_timeout: asyncio.Timeout, emitter: tts.AudioEmitter
    ) -> None:
        sender = asyncio.create_task(self._send_text(stream, audio_timeout), name="tts-send")
        try:
            async for response in stream:
                match response.WhichOneof("event"):
                    case "audio":
                        self._push(emitter, response.audio.pcm)
                        self._set_timeout(audio_timeout, active=self._all_text_sent)
                    case "usage":
                        self._mesh.on_cost(response.usage.cost_micro_usd)
                    case _:
                        pass
        finally:
            sender.cancel()
            # A failure of the sender also ends the responses, where it is raised.
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_text(self, stream: SynthesizeStream, audio_timeout: asyncio.Timeout) -> None:
        async for item in self._input_ch:
            if isinstance(item, str):
                self._mark_started()
                await stream.send_text(item)
                # Before any audio the timeout restarts with each text: speech waits for the end of a sentence, and the
                # model may be slow to write it.
                self._set_timeout(audio_timeout, active=not self._pcm_bytes)
        await stream.end()
        # Speech has the whole text now, so any further pause is its own.
        self._all_text_sent = True
        self._set_timeout(audio_timeout, active=True)

    def _set_timeout(self, audio_timeout: asyncio.Timeout, *, active: bool) -> None:
        """Restart the timeout, or stop it while speech waits for text."""
        audio_timeout.reschedule(asyncio.get_running_loop().time() + self._mesh.next_audio_s if active else None)

    def _push(self, emitter: tts.AudioEmitter, pcm: bytes) -> None:
        if pcm:
            self._pcm_bytes += len(pcm)
            emitter.push(pcm)


def tones(sample_rate_hz: int) -> bytes:
    """Return two short falling tones as signed 16-bit mono PCM, each faded in and out."""
    count = int(_TONE_S * sample_rate_hz)
    samples = array.array("h")
    for frequency_hz in _TONES_HZ:
        for n in range(count):
            fade = math.sin(math.pi * n / count)
            samples.append(int(8000 * fade * math.sin(2 * math.pi * frequency_hz * n / sample_rate_hz)))
    return samples.tobytes()
