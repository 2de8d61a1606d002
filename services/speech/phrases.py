"""Turns a tenant's key terms into sentences of plain words that a language model can be built from."""

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


def sentences(key_terms: Iterable[str]) -> tuple[str, ...]:
    """Each sentence of the terms once, in order: lower case, words and apostrophes only, numbers spelled out."""
    found: dict[str, None] = {}
    for term in key_terms:
        for sentence in _SENTENCE_END.split(_plain(term)):
            words = [w for token in _TOKEN.findall(sentence) for w in _spoken(token)]
            if words:
                found[" ".join(words)] = None
    return tuple(found)


def _plain(term: str) -> str:
    """Letters without their accents: "Café" is looked up as "cafe"."""
    return "".join(c for c in unicodedata.normalize("NFKD", term) if not unicodedata.combining(c))


def _spoken(token: str) -> list[str]:
    if not token[0].isdigit():
        return [token.lower().replace("’", "'")]
    whole, _, fraction = token.replace(",", "").partition(".")
    words = spell(int(whole)) if int(whole) <= SPOKEN_NUMBER_MAX else [_ONES[int(d)] for d in whole]
    if fraction:
        words += ["point", *(_ONES[int(d)] for d in fraction if d.isdigit())]
    return words


def spell(number: int) -> list[str]:
    """The words of a whole number from 0 to 999999, as Americans say it."""
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        tens = [_TENS[number // 10 - 2]]
        return tens + (spell(number % 10) if number % 10 else [])
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    return spell(number // unit) + [name] + (spell(number % unit) if number % unit else [])
