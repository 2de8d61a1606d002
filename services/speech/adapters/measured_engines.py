"""Engines with a span for each call, and metrics of their errors, first audio and transcripts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Histogram

from hocket.chassis.errors import MeshError
from services.speech import telemetry
from services.speech.events import AudioChunk, SpeechStarted, Transcript, TranscriptionEvent, TranscriptKind
from services.speech.ports import (
    SpeechToText,
    SynthesisConfig,
    TextToSpeech,
    TranscriptionConfig,
    TranscriptionSession,
)
from services.speech.prices import PriceRow
from services.speech.speaking.audio_chunks import BYTES_PER_SAMPLE
from services.speech.speaking.segmenter import Segment

# 20 s of packets of 20 ms: a transcript of older audio is not measured.
_PACKETS_HELD_MAX = 1000
_tracer = trace.get_tracer("hocket.speech")
Now = Callable[[], float]


class MeasuredSpeechToText:
    """`ports.SpeechToText` around another one: its errors, and how long its transcripts take."""

    def __init__(self, engine: SpeechToText, now: Now = time.monotonic) -> None:
        """Measure `engine` by the clock `now`, in seconds."""
        self._engine = engine
        self._now = now
        self.price = engine.price

    @asynccontextmanager
    async def open(self, config: TranscriptionConfig) -> AsyncGenerator[TranscriptionSession, None]:
        """Open a session of the engine; its span lasts as long as the session."""
        call = _EngineCall("transcribe", self.price)
        try:
            async with AsyncExitStack() as stack:
                with call.running():
                    session = await stack.enter_async_context(self._engine.open(config))
                yield _MeasuredSession(session, config.sample_rate_hz, call, self._now)
        finally:
            call.span.end()


class _MeasuredSession:
    """`ports.TranscriptionSession` around another one."""

    def __init__(self, session: TranscriptionSession, sample_rate_hz: int, call: _EngineCall, now: Now) -> None:
        self._session = session
        self._bytes_per_s = sample_rate_hz * BYTES_PER_SAMPLE
        self._call = call
        self._now = now
        self._pushed_bytes = 0
        # End of each packet in seconds of audio, and when it arrived.
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=_PACKETS_HELD_MAX)
        self._speech_start_s: float | None = None

    async def push_audio(self, pcm: bytes) -> None:
        self._pushed_bytes += len(pcm)
        self._arrivals.append((self._pushed_bytes / self._bytes_per_s, self._now()))
        with self._call.running():
            await self._session.push_audio(pcm)

    async def flush(self) -> None:
        with self._call.running():
            await self._session.flush()

    async def end_audio(self) -> None:
        with self._call.running():
            await self._session.end_audio()

    async def events(self) -> AsyncGenerator[TranscriptionEvent, None]:
        async with aclosing(self._session.events()) as events:
            while True:
                with self._call.running():
                    event = await anext(events, None)
                if event is None:
                    return
                self._measure(event)
                yield event

    def _measure(self, event: TranscriptionEvent) -> None:
        if isinstance(event, SpeechStarted):
            self._speech_start_s = event.audio_start_s
        elif isinstance(event, Transcript):
            if self._speech_start_s is not None:
                self._observe(telemetry.FIRST_TRANSCRIPT_SECONDS, self._speech_start_s)
                self._speech_start_s = None
            if event.kind is TranscriptKind.FINAL:
                self._observe(telemetry.FINAL_TRANSCRIPT_SECONDS, event.audio_end_s)

    def _observe(self, histogram: Histogram, position_s: float) -> None:
        """Observe the time since the audio at `position_s` arrived."""
        arrived_s = next((arrived_s for end_s, arrived_s in self._arrivals if end_s > position_s), None)
        if arrived_s is not None:
            histogram.labels(self._call.engine).observe(self._now() - arrived_s)


class MeasuredTextToSpeech:
    """`ports.TextToSpeech` around another one: its errors, and how long its first audio takes."""

    def __init__(self, engine: TextToSpeech, now: Now = time.monotonic) -> None:
        """Measure `engine` by the clock `now`, in seconds."""
        self._engine = engine
        self._now = now
        self.price = engine.price

    def output_rate_hz(self, config: SynthesisConfig) -> int:
        """Return the engine's sample rate in hertz."""
        return self._engine.output_rate_hz(config)

    async def synthesize(self, segment: Segment, config: SynthesisConfig) -> AsyncGenerator[AudioChunk, None]:
        """Yield the engine's audio; the span lasts until its end."""
        started_s, waiting = self._now(), True
        call = _EngineCall("synthesize", self.price)
        try:
            async with aclosing(self._engine.synthesize(segment, config)) as chunks:
                while True:
                    with call.running():
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    if waiting and chunk.pcm:
                        telemetry.FIRST_AUDIO_SECONDS.labels(call.engine).observe(self._now() - started_s)
                        waiting = False
                    yield chunk
        finally:
            call.span.end()


class _EngineCall:
    """The span of one call to an engine, and the count of the engine's errors."""

    def __init__(self, operation: str, price: PriceRow) -> None:
        self.engine = price.provider
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": price.provider,
            "gen_ai.request.model": price.model,
        }
        self.span = _tracer.start_span(f"{operation} {price.model}", kind=SpanKind.CLIENT, attributes=attributes)

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Make the span current while the engine runs, and count an error that it raises.

        Only around the engine: an error of the limiter or of the caller's audio is not the engine's.
        """
        try:
            with trace.use_span(self.span, record_exception=False, set_status_on_exception=False):
                yield
        except MeshError as error:
            telemetry.ENGINE_ERRORS.labels(self.engine, error.code).inc()
            self.span.set_attribute("error.type", error.reason)
            self.span.set_status(Status(StatusCode.ERROR))
            raise
