"""livekit-agents' TTS over speech: words go out as the model writes them, sentences are cut there and not here."""

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
_TONE_HZ = (523.25, 392.0)  # C5 to G4: falling, as a question that finds no answer
_TONE_S = 0.18
_log = structlog.get_logger()


class MeshTts(tts.TTS[Any]):
    """Speaks over speech. When speech is away a recorded apology is played instead, so that silence never answers."""

    def __init__(
        self,
        client: SpeechClient,
        *,
        language: str,
        voice: str,
        room: str,
        sample_rate_hz: int,
        next_audio_s: float,
        on_trouble: Callable[[], None],
        on_cost: Callable[[int], None],
    ) -> None:
        """Speak over `client`; `next_audio_s` is the wait for audio when it is the service's turn to give some."""
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=sample_rate_hz, num_channels=1)
        self.client = client
        self.config = pb.SynthesizeConfig(sample_rate_hz=sample_rate_hz, language=language, voice=voice, room=room)
        self.next_audio_s = next_audio_s
        self.on_trouble, self.on_cost = on_trouble, on_cost
        self._apology = b""

    @property
    def model(self) -> str:
        """Speech decides."""
        return "routed"

    @property
    def provider(self) -> str:
        """Who speaks."""
        return "hocket"

    @property
    def apology_pcm(self) -> bytes:
        """What is played when speech is away: an apology recorded earlier, or else two falling tones."""
        return self._apology or tones(self.sample_rate)

    async def record_apology(self) -> None:
        """Have the apology spoken while speech is well."""
        with suppress(MeshError):
            self._apology = await self.client.say(APOLOGY, self.config)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        """Speak as words come."""
        return _Speaking(self, conn_options)


class _Speaking(tts.SynthesizeStream):
    def __init__(self, mesh: MeshTts, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=mesh, conn_options=conn_options)
        self._mesh = mesh
        self._pcm_bytes = 0
        self._all_sent = False

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
            async with asyncio.timeout(None) as patience:
                async with self._mesh.client.synthesize(self._mesh.config, _STREAM_TIMEOUT_S) as stream:
                    await self._speak(stream, patience, output_emitter)
        except (MeshError, TimeoutError) as error:
            _log.warning("speech does not speak", error=str(error) or "late", pcm_bytes=self._pcm_bytes)
            self._mesh.on_trouble()
            if not self._pcm_bytes:
                self._push(output_emitter, self._mesh.apology_pcm)
        if not self._pcm_bytes:
            # Nothing in the text could be spoken ("..."): the library takes no audio at all for a failure.
            self._push(output_emitter, bytes(2 * self._mesh.sample_rate * _FRAME_MS // 1000))
        output_emitter.end_segment()

    async def _speak(self, stream: SynthesizeStream, patience: asyncio.Timeout, emitter: tts.AudioEmitter) -> None:
        sender = asyncio.create_task(self._send(stream, patience), name="tts-send")
        try:
            async for response in stream:
                match response.WhichOneof("event"):
                    case "audio":
                        self._push(emitter, response.audio.pcm)
                        self._wait(patience, wanted=self._all_sent)
                    case "usage":
                        self._mesh.on_cost(response.usage.cost_micro_usd)
                    case _:
                        pass
        finally:
            sender.cancel()
            # What ends the sending ends the reading too, and is raised there.
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, stream: SynthesizeStream, patience: asyncio.Timeout) -> None:
        async for item in self._input_ch:
            if isinstance(item, str):
                self._mark_started()
                await stream.send_text(item)
                # Counted from the last words before any audio: a model may take its time over a first sentence.
                self._wait(patience, wanted=not self._pcm_bytes)
        await stream.end()
        # From here on the service has all it needs: a pause is no longer the model's.
        self._all_sent = True
        self._wait(patience, wanted=True)

    def _wait(self, patience: asyncio.Timeout, *, wanted: bool) -> None:
        patience.reschedule(asyncio.get_running_loop().time() + self._mesh.next_audio_s if wanted else None)

    def _push(self, emitter: tts.AudioEmitter, pcm: bytes) -> None:
        if pcm:
            self._pcm_bytes += len(pcm)
            emitter.push(pcm)


def tones(sample_rate_hz: int) -> bytes:
    """Two short falling tones as signed 16-bit mono PCM, each faded in and out."""
    count = int(_TONE_S * sample_rate_hz)
    samples = array.array("h")
    for frequency_hz in _TONE_HZ:
        for n in range(count):
            fade = math.sin(math.pi * n / count)
            samples.append(int(8000 * fade * math.sin(2 * math.pi * frequency_hz * n / sample_rate_hz)))
    return samples.tobytes()
