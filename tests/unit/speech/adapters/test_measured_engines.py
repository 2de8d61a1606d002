"""Measured engines: times by a clock that the test moves, and only the engine's own errors counted."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from hocket.chassis.errors import ResourceExhausted, Unavailable
from services.speech.adapters.measured_engines import MeasuredSpeechToText, MeasuredTextToSpeech
from services.speech.events import AudioChunk, SpeechStarted, Transcript, TranscriptKind
from services.speech.ports import SynthesisConfig, TranscriptionConfig
from services.speech.prices import free
from services.speech.speaking.segmenter import Segment
from tests.fakes.recorded_spans import record_spans

RATE_HZ = 16_000
SECOND = bytes(RATE_HZ * 2)
CONFIG = TranscriptionConfig(RATE_HZ, "en-US")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Both engines: yields the steps of a test; a number moves the clock, an error is raised."""

    def __init__(self, name: str, clock: Clock, steps) -> None:
        self.price = free(name, f"{name}-1", per=1)
        self.clock, self.steps = clock, steps

    @asynccontextmanager
    async def open(self, config):
        yield self

    async def push_audio(self, pcm: bytes) -> None:
        self.clock.now += 1.0

    async def end_audio(self) -> None: ...

    async def flush(self) -> None: ...

    async def events(self):
        for step in self.steps:
            if isinstance(step, float):
                self.clock.now += step
            elif isinstance(step, Exception):
                raise step
            else:
                yield step

    def output_rate_hz(self, config) -> int:
        return RATE_HZ

    def synthesize(self, segment, config):
        return self.events()


def observed(metric: str, engine: str) -> tuple[float | None, float | None]:
    """Count and sum of a histogram."""
    labels = {"engine": engine}
    return tuple(
        REGISTRY.get_sample_value(f"hocket_speech_{metric}_seconds_{part}", labels) for part in ("count", "sum")
    )  # type: ignore[return-value]


def errors(engine: str, code: str) -> float | None:
    return REGISTRY.get_sample_value("hocket_speech_engine_errors_total", {"engine": engine, "code": code})


async def test_transcripts_are_measured_from_the_arrival_of_their_audio():
    clock = Clock()
    steps = [
        SpeechStarted(0.5),
        0.25,
        Transcript(TranscriptKind.INTERIM, "a", 1.0),
        Transcript(TranscriptKind.INTERIM, "a b", 1.5),
        0.5,
        Transcript(TranscriptKind.FINAL, "a b", 1.5),
        # Older than all audio that is still known: not measured.
        Transcript(TranscriptKind.FINAL, "c", 99.0),
    ]
    async with MeasuredSpeechToText(Engine("timed-stt", clock, steps), clock).open(CONFIG) as session:
        for _ in range(3):
            await session.push_audio(SECOND)
        async with aclosing(session.events()) as events:
            assert [event async for event in events] == [s for s in steps if not isinstance(s, float)]
    # Speech at 0.5 s is in the packet of second 100, the end at 1.5 s in that of second 101; it is second 103 now.
    assert observed("first_transcript", "timed-stt") == (1, 3.25)
    assert observed("final_transcript", "timed-stt") == (1, 2.75)


async def test_first_audio_is_measured_once_per_segment():
    clock, chunk = Clock(), AudioChunk(bytes(2))
    tts = MeasuredTextToSpeech(Engine("timed-tts", clock, [AudioChunk(b""), 0.5, chunk, 0.5, chunk]), clock)
    async with aclosing(tts.synthesize(Segment("Hi.", "Hi.", 0), SynthesisConfig(0, "en"))) as chunks:
        assert [c async for c in chunks] == [AudioChunk(b""), chunk, chunk]
    assert observed("first_audio", "timed-tts") == (1, 0.5)


async def test_an_error_of_the_engine_is_counted_once_and_marks_its_span(monkeypatch):
    spans = record_spans(monkeypatch, "services.speech.adapters.measured_engines")
    clock = Clock()
    stt = MeasuredSpeechToText(Engine("broken-stt", clock, [Unavailable("broke")]), clock)
    tts = MeasuredTextToSpeech(Engine("broken-tts", clock, [Unavailable("broke")]), clock)
    with pytest.raises(Unavailable):
        async with stt.open(CONFIG) as session:
            await anext(session.events())
    with pytest.raises(Unavailable):
        await anext(tts.synthesize(Segment("Hi.", "Hi.", 0), SynthesisConfig(0, "en")))
    assert (errors("broken-stt", "UNAVAILABLE"), errors("broken-tts", "UNAVAILABLE")) == (1, 1)
    assert [(s.name, s.status.is_ok) for s in spans.get_finished_spans()] == [
        ("transcribe broken-stt-1", False),
        ("synthesize broken-tts-1", False),
    ]


async def test_an_error_of_the_caller_during_a_session_is_not_the_engines():
    clock = Clock()
    with pytest.raises(ResourceExhausted):
        async with MeasuredSpeechToText(Engine("innocent-stt", clock, []), clock).open(CONFIG):
            raise ResourceExhausted("spent")
    assert errors("innocent-stt", "RESOURCE_EXHAUSTED") is None
