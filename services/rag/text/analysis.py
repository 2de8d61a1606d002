"""Decides by which terms a text is indexed, and which words of a spoken question are searched for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from services.rag.text.stemming import stem

TERM_CHARACTERS_MAX = 64
QUERY_TERMS_MAX = 64
# Weight of two neighbouring words joined into one ("wi fi" for "wifi").
_JOINED_WEIGHT = 0.5

# Latin accents and Arabic short vowels: writers and speech recognisers use them inconsistently.
_MARKS = re.compile("[\u0300-\u036f\u064b-\u0652]")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
# Scripts without spaces between words: indexed by pairs of neighbouring characters.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]+")
_CONTRACTED = frozenset(("s", "t", "re", "ve", "ll", "d", "m"))

_STOP_WORDS = """a an and are as at be been but by can could did do does don doesn didn for from had has have he her his
    how i if in into is isn it its me my no nor not of on or our shall she should so than that the their them then there
    these they this those to us was wasn we were what when where which who whom whose why will with won would you your
    am about"""
# Words around a spoken question; removed from queries only, and only if other words are left.
_FILLER_WORDS = """actually ah anyone anything basically er erm exactly explain find get give hello hey hi hmm just know
    let like long look many maybe much need now ok okay please question really right say show some something sorry tell
    thanks thank thing think uh um want well wonder wondering yeah yes also any"""
_NUMBER_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_STOP = frozenset(_STOP_WORDS.split())
_FILLERS = frozenset(_FILLER_WORDS.split())
_NUMBERS: dict[str, int] = {word: number for number, word in enumerate(_NUMBER_WORDS.split())}
_TENS: dict[str, int] = {word: number * 10 for number, word in enumerate(_TENS_WORDS.split(), 2)}


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A term to search for, and the weight of a match, over 0 to 1."""

    term: str
    weight: float


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions, without stop words."""
    return [_term(word) for word in _words(text) if word not in _STOP]


def query_terms(query: str) -> list[QueryTerm]:
    """Return the terms of a question, each once, at most QUERY_TERMS_MAX."""
    words = [word for word in _words(query) if word not in _STOP]
    significant = [word for word in words if word not in _FILLERS] or words
    weights = dict.fromkeys(map(_term, significant), 1.0)
    for left, right in pairwise(words):
        weights.setdefault(_term(left + right), _JOINED_WEIGHT)
    return [QueryTerm(term, weight) for term, weight in weights.items()][:QUERY_TERMS_MAX]


def _term(word: str) -> str:
    # Truncated before stemming, because the cache of stems holds its words.
    return stem(word[:TERM_CHARACTERS_MAX])


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def _words(text: str) -> Iterator[str]:
    return _with_numbers(word for match in _WORD.finditer(_folded(text)) for word in _parts(match.group()))


def _parts(group: str) -> Iterator[str]:
    """Yield the words of a group such as "front-desk's": its parts, and with a hyphen also the joined word."""
    if group.isalnum() and group.isascii():
        yield group
        return
    hyphenated = [_without_contraction(part) for part in group.split("-")]
    for part in hyphenated:
        yield from _unspaced_pairs(part) if _UNSPACED.search(part) else (part,)
    if len(hyphenated) > 1:
        yield "".join(hyphenated)


def _without_contraction(part: str) -> str:
    pieces = re.split("['\u2019]", part)
    return "".join(pieces[:-1] if len(pieces) > 1 and pieces[-1] in _CONTRACTED else pieces)


def _unspaced_pairs(word: str) -> Iterator[str]:
    for run in _UNSPACED.findall(word):
        yield from (run[i : i + 2] for i in range(max(len(run) - 1, 1)))
    yield from (rest for rest in _UNSPACED.split(word) if rest)


def _with_numbers(words: Iterable[str]) -> Iterator[str]:
    """Replace number words by digits, so that "nine thirty" matches "9:30"; "twenty five" becomes 25."""
    tens: int | None = None
    for word in words:
        if tens is not None:
            unit = _NUMBERS.get(word, 0)
            follows = 0 < unit < 10
            yield str(tens + unit if follows else tens)
            tens = None
            if follows:
                continue
        if word in _TENS:
            tens = _TENS[word]
        else:
            yield str(_NUMBERS[word]) if word in _NUMBERS else word
    if tens is not None:
        yield str(tens)
