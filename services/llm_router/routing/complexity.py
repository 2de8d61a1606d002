"""Scores the complexity of a request from surface features of its text; no model, well under a millisecond.

Length is the strongest cheap sign that a weak model fails where a strong one does not: alone it matches a trained
router on MMLU and GSM8K. Numbers and symbols help on mixed domains; keywords predicted nothing and are left out. The
weights were set by hand from these findings, without rows of any benchmark. `hocket-llm-router fit` refits them from
recorded outcomes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.llm_router.chat.request import Request, Role, Text

# Longer text is scored by its first and last half of this many characters: bounds CPU, and questions stand at either
# end.
SCORED_CHARACTERS_MAX = 2000
# Earlier turns only give context for the last one.
HISTORY_CHARACTERS_MAX = 300
USER_TURNS = 3

# Scripts without spaces. Chinese and Japanese: about one character a word; Thai, Lao, Burmese, Khmer: about four.
_DENSE, _UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff", "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(rf"[{_DENSE}]|[{_UNSPACED}]{{1,4}}|[^\s{_DENSE}{_UNSPACED}]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SYMBOL = re.compile(r"[=^<>≤≥±√∑∫πθ∈∀∃→]|\\[a-zA-Z]+|\$[^$\n]{1,80}\$|\*\*|[a-zA-Z]\([a-z]\)")
_CODE = re.compile(
    r"```|\b(?:def|class|return|import|SELECT|FROM|WHERE|function|const|public|void|int main|#include)\b"
    r"|[{};][ \t]*$|</?\w+>",
    re.MULTILINE,
)
# [ \t] instead of \s, which crosses lines: thousands of empty lines would be rescanned from each (quadratic).
_OPTION = re.compile(r"^[ \t]*\(?[A-J][.):]\s", re.MULTILINE)
_STEPS = re.compile(
    r"\b(?:how many|how much|calculate|compute|prove|derive|solve|total|each|per|remaining|twice|half|percent|ratio)\b",
    re.IGNORECASE,
)
_REASONING = re.compile(
    r"\b(?:why|explain|compare|analy[sz]e|evaluate|design|implement|optimi[sz]e|trade-?offs?|step by step|pros and cons"
    r"|suppose|assume|therefore|whether|which of the following|except|statement)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<![.!?])[.!?]++(?:\s|$)|[。！？]+|\n+")


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added to the raw score, and its value as text."""

    name: str
    weight: float
    detail: str


@dataclass(frozen=True, slots=True)
class Complexity:
    """A score from 0 (simple) to 1 (complex), its features, and the contribution of each, largest first."""

    score: float
    features: Mapping[str, float]
    contributions: tuple[Contribution, ...]


class Scorer(Protocol):
    """Interface of complexity scorers."""

    def score(self, request: Request) -> Complexity:
        """Score `request` from 0 (simple) to 1 (complex)."""
        ...


# Weight of each feature (all scaled to 0..1) and the bias: 12 plain words score 0.2; 200 words with numbers and symbols
# 0.9.
WEIGHTS: Mapping[str, float] = {
    "words": 6.5,
    "numbers": 1.0,
    "symbols": 0.7,
    "code": 0.6,
    "steps": 0.6,
    "reasoning": 0.4,
    "sentences": 0.3,
    "long_words": 0.3,
    "options": -0.35,
    "history": 0.3,
}
BIAS = -3.2


def features_of(text: str, characters_max: int = SCORED_CHARACTERS_MAX) -> dict[str, float]:
    """Compute the features of a text, each scaled to 0..1. Counts saturate, so that no single feature dominates."""
    whole = len(text)
    text = _bounded(text, characters_max)
    words = _WORD.findall(text)
    count = len(words) * max(whole, 1) / max(len(text), 1)
    long_words = sum(len(w) >= 9 for w in words)
    return {
        "words": min(math.log1p(count) / math.log1p(4000), 1.0),
        "numbers": _saturated(len(_NUMBER.findall(text)), 2),
        "symbols": _saturated(len(_SYMBOL.findall(text)), 4),
        "code": _saturated(len(_CODE.findall(text)), 3),
        "steps": _saturated(len(_STEPS.findall(text)), 3),
        "reasoning": _saturated(len(_REASONING.findall(text)), 2),
        "sentences": _saturated(len(_SENTENCE.findall(text)), 6),
        "long_words": min(long_words / max(len(words), 8) * 3, 1.0),
        "options": 1.0 if len(_OPTION.findall(text)) >= 3 else 0.0,
    }


def _bounded(text: str, characters_max: int) -> str:
    half = characters_max // 2
    return text if len(text) <= characters_max else f"{text[:half]}\n{text[-half:]}"


def _saturated(count: int, half_at: int) -> float:
    return count / (count + half_at)


@dataclass(frozen=True, slots=True)
class SurfaceScorer:
    """Logistic regression over surface features of the last user message and of the turns before it."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    bias: float = BIAS

    def score(self, request: Request) -> Complexity:
        """Score the last user message; up to three earlier user turns add context that a short follow-up lacks."""
        user_texts = [
            "\n".join(p.text for p in m.parts if isinstance(p, Text)) for m in request.turns if m.role is Role.USER
        ]
        return self.score_turns(user_texts)

    def score_text(self, text: str) -> Complexity:
        """Score one message without history."""
        return self.score_turns([text])

    def score_turns(self, user_texts: Sequence[str]) -> Complexity:
        """Score from the texts of the user, oldest first."""
        features = features_of(user_texts[-1]) if user_texts else features_of("")
        earlier = [
            self._sum(features_of(text, HISTORY_CHARACTERS_MAX)) for text in user_texts[-USER_TURNS - 1 : -1] if text
        ]
        # The hardest earlier turn counts: "and in general?" after a proof is not a simple request.
        features["history"] = _logistic(max(earlier) + self.bias) if earlier else 0.0
        parts = [Contribution(n, self.weights.get(n, 0.0) * v, f"{n} = {v:.2f}") for n, v in features.items()]
        total = sum(part.weight for part in parts) + self.bias
        strongest = tuple(sorted((p for p in parts if p.weight), key=lambda p: -abs(p.weight)))
        return Complexity(_logistic(total), features, strongest)

    def _sum(self, features: Mapping[str, float]) -> float:
        return sum(self.weights.get(name, 0.0) * value for name, value in features.items())


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
