"""Decides what of a transcript is worth a search, and whether an earlier search answers a later question."""

from __future__ import annotations

import re

QUERY_BYTES_MAX = 4096
_WORDS_MIN = 2
# A question in a script without spaces between words is one word to `\w+`.
_UNSPACED_CHARS_MIN = 4
# Interim and final transcripts of one utterance share most of their words; below this the question is another.
_OVERLAP_MIN = 0.6
_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """The words of `text` in lower case; two texts with the same words are the same question."""
    return tuple(_WORD.findall(text.lower()))


def is_searchable(text: str) -> bool:
    """Whether `text` says enough to search for."""
    found = words(text)
    return len(found) >= _WORDS_MIN or any(len(w) >= _UNSPACED_CHARS_MIN and not w.isascii() for w in found)


def query(text: str) -> str:
    """`text` as a query: at most 4096 bytes, the end kept because a question comes last."""
    encoded = text.strip().encode()
    return encoded[-QUERY_BYTES_MAX:].decode(errors="ignore")


def answers_too(searched: str, asked: str) -> bool:
    """Whether passages found for `searched` may serve for `asked`: most of the words are the same."""
    a, b = set(words(searched)), set(words(asked))
    return bool(a | b) and len(a & b) / len(a | b) >= _OVERLAP_MIN
