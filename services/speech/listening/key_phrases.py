"""Splits a tenant's key terms into phrases of plain words, the training text of the recogniser's language model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_TOKEN = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*|\d+(?:[.,]\d+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SPOKEN_NUMBER_MAX = 999_999


def key_phrases(key_terms: Iterable[str]) -> tuple[str, ...]:
    """Return each sentence of the terms once, in order, in lower case, without punctuation, with numbers as words.

    Args:
        key_terms: Words, phrases or texts of several sentences, as the request holds them.
    """
    found: dict[str, None] = {}
    for term in key_terms:
        for sentence in _SENTENCE_END.split(_plain(term)):
            words = [w for token in _TOKEN.findall(sentence) for w in _spoken(token)]
            if words:
                found[" ".join(words)] = None
    return tuple(found)


def _plain(term: str) -> str:
    """Strip accents: the pronouncing dictionary holds "cafe", not "café"."""
    return "".join(c for c in unicodedata.normalize("NFKD", term) if not unicodedata.combining(c))


def _spoken(token: str) -> list[str]:
    if not token[0].isdigit():
        return [token.lower().replace("’", "'")]
    whole, _, fraction = token.replace(",", "").partition(".")
    words = number_words(int(whole)) if int(whole) <= SPOKEN_NUMBER_MAX else [_ONES[int(d)] for d in whole]
    if fraction:
        words += ["point", *(_ONES[int(d)] for d in fraction if d.isdigit())]
    return words


def number_words(number: int) -> list[str]:
    """Return the words of a whole number from 0 to 999999 in American English."""
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        tens = [_TENS[number // 10 - 2]]
        return tens + (number_words(number % 10) if number % 10 else [])
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    return number_words(number // unit) + [name] + (number_words(number % unit) if number % unit else [])
