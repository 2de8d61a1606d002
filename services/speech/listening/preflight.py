"""Decides when a hypothesis goes out as a preflight: an early transcript on which the answer may be started.

A wrong preflight costs one language model call, a late one costs response time. An expected phrase therefore goes out
after two silent frames, unless a longer expected phrase begins with it; any other text only after a pause longer than
the pauses within words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PreflightRules:
    """Rules of one recogniser.

    Attributes:
        phrase_silence_ms: Silence before an expected phrase is sent, in milliseconds of audio.
        other_silence_ms: Silence before any other text is sent, in milliseconds of audio.
        preflights_max: Most preflights per utterance.
    """

    phrase_silence_ms: int = 20
    other_silence_ms: int = 100
    preflights_max: int = 3


@dataclass(slots=True)
class Preflight:
    """Preflights of one utterance; make a new one for each utterance."""

    rules: PreflightRules
    expected_phrases: Collection[str]
    sent: list[str] = field(default_factory=list[str])
    _sent_at_ms: int = -1

    def should_send(self, text: str, silence_ms: int, speech_end_ms: int) -> bool:
        """Decide whether to send `text` now; True counts it as sent.

        Args:
            text: Hypothesis of the whole utterance.
            silence_ms: Silence since the last speech, in milliseconds of audio.
            speech_end_ms: Position of the last speech, in milliseconds of audio.
        """
        if not text or len(self.sent) >= self.rules.preflights_max or text in self.sent[-1:]:
            return False
        expected = text in self.expected_phrases
        complete = expected and not any(p.startswith(f"{text} ") for p in self.expected_phrases)
        if silence_ms < (self.rules.phrase_silence_ms if complete else self.rules.other_silence_ms):
            return False
        self.sent.append(text)
        self._sent_at_ms = speech_end_ms
        return True

    def confirmed_text(self, speech_end_ms: int) -> str | None:
        """Return the last preflight where it is final: an expected phrase with no speech after it; None otherwise.

        A recogniser that changes its hypothesis on silence alone is wrong more often than an expected phrase is.
        """
        if self.sent and self.sent[-1] in self.expected_phrases and self._sent_at_ms == speech_end_ms:
            return self.sent[-1]
        return None
