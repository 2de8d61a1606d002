"""All that speech needs from outside: an engine that listens, one that speaks, the tenant's limits and the book."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.speech.events import ListeningEvent, Voiced
from services.speech.prices import PriceRow
from services.speech.segments import Segment

STT_LIMIT = "stt_audio_seconds"
TTS_LIMIT = "tts_characters"


@dataclass(frozen=True, slots=True)
class ListeningConfig:
    """How to listen. `turn_silence_ms` None means the engine's own."""

    sample_rate_hz: int
    language: str
    key_terms: tuple[str, ...] = ()
    turn_silence_ms: int | None = None
    room: str = ""


@dataclass(frozen=True, slots=True)
class SpeakingConfig:
    """How to speak. `voice` empty means the language's, both empty the default; `sample_rate_hz` 0 its own rate."""

    sample_rate_hz: int
    language: str
    voice: str = ""
    room: str = ""


class ListeningSession(Protocol):
    """One stream of audio being heard."""

    async def hear(self, pcm: bytes) -> None:
        """Take signed 16-bit mono PCM at the config's rate; waits while too much is queued."""
        ...

    async def flush(self) -> None:
        """End utterance and turn here."""
        ...

    async def end(self) -> None:
        """No more audio will come; `events` ends after what is still open."""
        ...

    def events(self) -> AsyncGenerator[ListeningEvent, None]:
        """What is heard, in order. Raises Unavailable when the engine fails."""
        ...


class Listener(Protocol):
    """A speech-to-text engine. Fails closed: without it there is no transcript."""

    price: PriceRow

    def open(self, config: ListeningConfig) -> AbstractAsyncContextManager[ListeningSession]:
        """Start listening; leaving drops what is still open. Raises InvalidArgument for what it cannot do."""
        ...


class Voice(Protocol):
    """A text-to-speech engine. Fails closed: without it there is no voice."""

    price: PriceRow

    def check(self, config: SpeakingConfig) -> int:
        """The rate in hertz that `speak` will use. Raises InvalidArgument for a voice or language it does not have."""
        ...

    def speak(self, segment: Segment, config: SpeakingConfig) -> AsyncGenerator[Voiced, None]:
        """The voice of one segment, as it is made; closing it stops the engine. Word times count from its start.

        Raises Unavailable when the engine fails.
        """
        ...


class Limits(Protocol):
    """What the tenant of the running RPC may spend. Fails open: no answer is no objection."""

    async def spend(self, limit: str, cost: int) -> None:
        """Spend `cost` units. Raises ResourceExhausted when they are not there."""
        ...


class CostOutcome(Enum):
    """How a call of an engine ended."""

    OK = "ok"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Cost:
    """One engine call for the book: `quantity` is milliseconds of audio heard, or characters spoken."""

    limit: str
    price: PriceRow
    quantity: int
    cost_micro_usd: int
    outcome: CostOutcome
    room: str = ""


class Ledger(Protocol):
    """The book of costs. Fails open: booking goes on in the background and never holds a caller up."""

    def record(self, cost: Cost) -> None:
        """Book `cost` for the tenant of the running RPC."""
        ...
