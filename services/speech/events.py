"""Events of a transcription and of a synthesis, as plain values.

Positions are seconds from the first sample of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StreamCommand(Enum):
    """A command of the caller between its audio or its text."""

    FLUSH = "flush"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its position. `confidence` is 0 to 1; 0 where the engine gives none."""

    text: str
    start_s: float
    end_s: float
    confidence: float = 0.0


def shifted(words: tuple[Word, ...], by_s: float) -> tuple[Word, ...]:
    """Return `words` moved by `by_s` seconds, from the time of an utterance or segment to that of the stream."""
    return tuple(Word(w.text, w.start_s + by_s, w.end_s + by_s, w.confidence) for w in words)


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at `audio_start_s`."""

    audio_start_s: float


class TranscriptKind(Enum):
    """How reliable a transcript is."""

    INTERIM = "interim"
    PREFLIGHT = "preflight"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Transcript:
    """Text of an utterance up to `audio_end_s`. `confidence` is 0 to 1; 0 where the engine gives none."""

    kind: TranscriptKind
    text: str
    audio_end_s: float
    words: tuple[Word, ...] = ()
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The speaker has finished; the last speech ended at `speech_end_s`."""

    speech_end_s: float


@dataclass(frozen=True, slots=True)
class AudioConsumed:
    """An utterance is done, and the engine has consumed the audio up to `audio_end_s`; the flow records its cost."""

    audio_end_s: float


TranscriptionEvent = SpeechStarted | Transcript | EndOfTurn | AudioConsumed


@dataclass(frozen=True, slots=True)
class TranscriptionUsage:
    """Audio consumed since the previous usage, and its price."""

    audio_s: float
    cost_micro_usd: int
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Synthesized audio (signed 16-bit little-endian mono PCM) and the words that start in it."""

    pcm: bytes
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Format of the audio chunks that follow."""

    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """All audio of the text before the flush has been sent."""


@dataclass(frozen=True, slots=True)
class SynthesisUsage:
    """Consumption of a whole synthesis and its price."""

    characters: int
    audio_s: float
    cost_micro_usd: int
    provider: str
    model: str
