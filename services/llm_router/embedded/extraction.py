"""Extracts the sentences of passages that answer a question, by shared words; no language model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.llm_router.chat.request import Passage

_WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-ÞА-Я])|\n+")
_STOP_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me "
    "my of on or our please shall should so tell that the their them then there these they this to us was we were "
    "what when where which who whom whose why will with would you your about know find say said give get any some "
    "much many okay ok hey hi hello thanks thank just like want need let's lets i'm i'd what's who's where's "
    "when's how's"
)
_STOP = frozenset(_STOP_WORDS.split())
# Question patterns, and the pattern of a sentence that holds such an answer.
_EXPECTED = (
    (
        re.compile(r"\b(?:when|what time|which day|what day|what date|how long|until when|how soon)\b", re.IGNORECASE),
        re.compile(
            r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|june|july|august|"
            r"september|october|november|december|daily|weekly|noon|midnight|hours?|days?|weeks?|months?|years?)\b",
            re.IGNORECASE,
        ),
    ),
    (
        re.compile(
            r"\b(?:how (?:many|much|old|far|often|big|large)|what (?:price|cost|number|size)|costs?|price)\b",
            re.IGNORECASE,
        ),
        re.compile(
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|free|no charge)\b",
            re.IGNORECASE,
        ),
    ),
    (re.compile(r"\bwho\b", re.IGNORECASE), re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")),
    (
        re.compile(r"\bwhere\b", re.IGNORECASE),
        re.compile(r"\b(?:in|at|on|near|under|behind|beside|floor|room|street|building|level)\b", re.IGNORECASE),
    ),
)
COVERAGE_MIN = 0.34
SENTENCE_WORDS_MAX = 45
PASSAGES_MAX = 50
SENTENCES_MAX = 400


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences of the passages, best first, and the share of the question's words in the first."""

    sentences: tuple[str, ...]
    coverage: float


def sentences_of(text: str) -> list[str]:
    """Split `text` into sentences, without empty ones."""
    return [" ".join(s.split()) for s in _SENTENCE.split(text) if s.strip()]


def terms_of(text: str) -> list[str]:
    """Return the content words of `text`, lower case and roughly stemmed."""
    return [_stem(w) for w in _WORD.findall(text.lower()) if w not in _STOP]


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending, kept in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: len(word) - len(ending)] + kept
    return word


def extract(question: str, passages: Sequence[Passage]) -> Extract | None:
    """Return the best one or two sentences for `question`, or None when none shares enough of its words."""
    wanted = set(terms_of(question))
    if not wanted:
        return None
    rows = [
        (sentence, frozenset(terms_of(sentence)), frozenset(terms_of(passage.title)), place, number)
        for place, passage in enumerate(passages[:PASSAGES_MAX])
        for number, sentence in enumerate(sentences_of(passage.text))
    ][:SENTENCES_MAX]
    if not rows:
        return None
    seen = Counter(term for _, terms, _, _, _ in rows for term in terms & wanted)
    idf = {term: math.log(1 + len(rows) / (0.5 + seen[term])) for term in wanted}
    all_weight = sum(idf.values())
    scored: list[tuple[float, float, int]] = []
    for index, (sentence, terms, title, place, _) in enumerate(rows):
        held = sum(idf[t] for t in wanted & terms)
        # The title describes all sentences of its passage: its words count half.
        about = sum(idf[t] for t in (wanted & title) - terms) * 0.5
        coverage = (held + about) / all_weight
        length = max(len(sentence.split()) - SENTENCE_WORDS_MAX, 0) / SENTENCE_WORDS_MAX
        scored.append((coverage + _kind(question, sentence) - 0.02 * place - 0.3 * length, coverage, index))
    scored.sort(key=lambda s: (-s[0], s[2]))
    _, coverage, best = scored[0]
    if coverage < COVERAGE_MIN:
        return None
    chosen = [best, *_second(rows, scored, best, wanted)]
    return Extract(tuple(_spoken(rows[i][0]) for i in chosen), coverage)


_Row = tuple[str, frozenset[str], frozenset[str], int, int]


def _second(rows: Sequence[_Row], scored: Sequence[tuple[float, float, int]], best: int, wanted: set[str]) -> list[int]:
    """Return one more sentence if it adds words of the question that the first lacks."""
    missing = wanted - rows[best][1]
    for _, coverage, index in scored[1:4]:
        if coverage >= COVERAGE_MIN and missing & rows[index][1] and rows[index][0] != rows[best][0]:
            return [index]
    return []


def _kind(question: str, sentence: str) -> float:
    return sum(
        0.15
        for question_pattern, sentence_pattern in _EXPECTED
        if question_pattern.search(question) and sentence_pattern.search(sentence)
    )


def _spoken(sentence: str) -> str:
    """Strip document markup: bullets, headings, links."""
    sentence = re.sub(r"^\s*(?:[-*•#>]+|\d+[.)])\s+", "", sentence)
    sentence = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", sentence).replace("**", "").replace("`", "")
    words = sentence.split()
    if len(words) > SENTENCE_WORDS_MAX:
        sentence = " ".join(words[:SENTENCE_WORDS_MAX]) + " …"
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."
