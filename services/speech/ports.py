"""Ports of the speech service: speech to text, text to speech, the tenant's limits and the ledger."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.speech.events import AudioChunk, TranscriptionEvent
from services.speech.prices import PriceRow
from services.speech.speaking.segmenter import Segment

STT_LIMIT = "stt_audio_seconds"
TTS_LIMIT = "tts_characters"


@dataclass(frozen=True, slots=True)
class TranscriptionConfig:
    """Configuration of one transcription.

    Attributes:
        sample_rate_hz: Rate of the audio, 8000 to 48000.
        language: BCP-47 tag.
        key_terms: Words and phrases to expect.
        turn_silence_ms: Silence that ends a turn; None for the engine's default.
        room: Room of the audio, for the ledger; empty for none.
    """

    sample_rate_hz: int
    language: str
    key_terms: tuple[str, ...] = ()
    turn_silence_ms: int | None = None
    room: str = ""


@dataclass(frozen=True, slots=True)
class SynthesisConfig:
    """Configuration of one synthesis.

    Attributes:
        sample_rate_hz: Rate of the audio, 8000 to 48000; 0 for the engine's own.
        language: BCP-47 tag; empty for the language of the voice.
        voice: Voice by the engine's name; empty for a voice of `language`, or the default where that is empty too.
        room: Room that the audio is for, for the ledger; empty for none.
    """

    sample_rate_hz: int
    language: str
    voice: str = ""
    room: str = ""


class TranscriptionSession(Protocol):
    """One stream of audio that an engine transcribes."""

    async def push_audio(self, pcm: bytes) -> None:
        """Pass signed 16-bit little-endian mono PCM at the config's rate; waits while the engine's queue is full."""
        ...

    async def flush(self) -> None:
        """End the current utterance and turn at this position."""
        ...

    async def end_audio(self) -> None:
        """Declare the audio complete; `events` ends once the open utterance is transcribed."""
        ...

    def events(self) -> AsyncGenerator[TranscriptionEvent, None]:
        """Yield events in order.

        Raises:
            Unavailable: The engine failed or timed out.
        """
        ...


class SpeechToText(Protocol):
    """A speech-to-text engine. Fails closed: without it there is no transcript."""

    price: PriceRow

    def open(self, config: TranscriptionConfig) -> AbstractAsyncContextManager[TranscriptionSession]:
        """Open a session; leaving the block drops the open utterance.

        Raises:
            InvalidArgument: The engine does not support the language or another part of `config`.
            ResourceExhausted: The engine serves its maximum of streams.
            Unavailable: The engine does not answer.
        """
        ...


class TextToSpeech(Protocol):
    """A text-to-speech engine. Fails closed: without it there is no audio."""

    price: PriceRow

    def output_rate_hz(self, config: SynthesisConfig) -> int:
        """Return the sample rate in hertz that `synthesize` will use for `config`.

        Raises:
            InvalidArgument: The engine does not have the voice or the language.
        """
        ...

    def synthesize(self, segment: Segment, config: SynthesisConfig) -> AsyncGenerator[AudioChunk, None]:
        """Yield the audio of one segment while the engine makes it; closing the generator stops the engine.

        Times of words count from the start of the segment.

        Raises:
            Unavailable: The engine failed or timed out.
        """
        ...


class Limits(Protocol):
    """Rate limits of the tenant of the running RPC. Fails open: without an answer the call goes on."""

    async def spend(self, limit: str, cost: int) -> None:
        """Spend `cost` units of `limit`.

        Raises:
            ResourceExhausted: The limit has fewer units left; `retry_after_s` holds the wait.
        """
        ...


class CostOutcome(Enum):
    """How an engine call ended."""

    OK = "ok"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one engine call: `quantity` is milliseconds of audio in, or characters of text."""

    limit: str
    price: PriceRow
    quantity: int
    cost_micro_usd: int
    outcome: CostOutcome
    room: str = ""


class Ledger(Protocol):
    """Ledger of costs. Fails open: costs are recorded in the background, and no caller waits."""

    def record(self, cost: Cost) -> None:
        """Record `cost` for the tenant of the running RPC."""
        ...
