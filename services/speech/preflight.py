"""Decides when a guess at an utterance is good enough to start an answer on, before its end is sure.

A wrong guess costs a language model call, a late one costs the caller's patience. So a text that is a whole phrase the
tenant expects goes out after two silent frames, unless a longer one begins with it; any other text only after a pause
that outlasts those within words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PreflightRules:
    """Silences in milliseconds of audio, and how many guesses an utterance may cost."""

    whole_phrase_silence_ms: int = 20
    other_silence_ms: int = 100
    guesses_max: int = 3


@dataclass(slots=True)
class Preflight:
    """One utterance's guesses; make a new one for each utterance."""

    rules: PreflightRules
    phrases: Collection[str]
    given: list[str] = field(default_factory=list[str])
    _given_at_ms: int = -1

    def is_credible(self, text: str, silence_ms: int, speech_end_ms: int) -> bool:
        """Whether `text`, heard up to `speech_end_ms` and followed by `silence_ms` of silence, is to be sent now."""
        if not text or len(self.given) >= self.rules.guesses_max or text in self.given[-1:]:
            return False
        complete = text in self.phrases and not any(p.startswith(f"{text} ") for p in self.phrases)
        if silence_ms < (self.rules.whole_phrase_silence_ms if complete else self.rules.other_silence_ms):
            return False
        self.given.append(text)
        self._given_at_ms = speech_end_ms
        return True

    def stands(self, speech_end_ms: int) -> str | None:
        """The last guess when it was a whole phrase and nothing was said after it: then it is the final text too.

        The engine's second thoughts after silence alone are worth less than a phrase that was expected and heard.
        """
        if self.given and self.given[-1] in self.phrases and self._given_at_ms == speech_end_ms:
            return self.given[-1]
        return None
