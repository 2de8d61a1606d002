"""What listening and speaking produce, as plain values; positions are seconds from the stream's first sample."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its place. `confidence` is 0 to 1, 0 when the engine does not say."""

    text: str
    start_s: float
    end_s: float
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks since `audio_start_s`."""

    audio_start_s: float


class TranscriptKind(Enum):
    """How much a transcript may be relied on."""

    INTERIM = "interim"
    PREFLIGHT = "preflight"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard of an utterance, up to `audio_end_s`."""

    kind: TranscriptKind
    text: str
    audio_end_s: float
    words: tuple[Word, ...] = ()
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The speaker has finished; the last speech was at `speech_end_s`."""

    speech_end_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The engine has consumed `audio_s` more seconds; the flow books them."""

    audio_s: float


ListeningEvent = SpeechStarted | Transcript | EndOfTurn | Heard


@dataclass(frozen=True, slots=True)
class ListeningUsage:
    """Audio consumed since the last usage, and its price."""

    audio_s: float
    cost_micro_usd: int
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Voiced:
    """A piece of voice: signed 16-bit mono PCM, and the words that start in it."""

    pcm: bytes
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """How the audio that follows is to be read."""

    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """All that was written before the flush is out."""


@dataclass(frozen=True, slots=True)
class SpeakingUsage:
    """What a stream of voice consumed in all."""

    characters: int
    audio_s: float
    cost_micro_usd: int
    provider: str
    model: str
