"""Decides which transcripts are searched for in rag, and whether the passages of one search answer another question."""

from __future__ import annotations

import re

QUERY_BYTES_MAX = 4096
_WORDS_MIN = 2
# A question in a script without spaces between words is one word to the pattern `\w+`.
_UNSPACED_CHARS_MIN = 4
# Interim and final transcripts of one utterance share most of their words; below this share it is another question.
_OVERLAP_MIN = 0.6
_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """Return the words of `text` in lower case; texts with the same words count as the same question."""
    return tuple(_WORD.findall(text.lower()))


def is_searchable(text: str) -> bool:
    """Return whether `text` is worth a search: two words, or one of four characters in a script without spaces."""
    found = words(text)
    return len(found) >= _WORDS_MIN or any(len(w) >= _UNSPACED_CHARS_MIN and not w.isascii() for w in found)


def truncated_query(text: str) -> str:
    """Return `text` as a query of at most 4096 bytes; the end is kept because a question comes last."""
    encoded = text.strip().encode()
    return encoded[-QUERY_BYTES_MAX:].decode(errors="ignore")


def is_same_question(searched: str, asked: str) -> bool:
    """Return whether the passages found for `searched` can serve `asked`: at least 60 % of all words are shared."""
    a, b = set(words(searched)), set(words(asked))
    return bool(a | b) and len(a & b) / len(a | b) >= _OVERLAP_MIN
