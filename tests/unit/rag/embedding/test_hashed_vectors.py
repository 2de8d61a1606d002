"""Hashed vectors."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.rag.embedding.hashed_vectors import DIMENSIONS, hashed_vector
from services.rag.text.analysis import terms


@given(st.text(min_size=1, max_size=200))
def test_vectors_have_unit_length(text):
    vector = hashed_vector(text, terms(text))
    assert len(vector) == DIMENSIONS
    assert math.isclose(1.0, math.sqrt(sum(value * value for value in vector)), rel_tol=1e-9)
    assert vector == hashed_vector(text, terms(text))


def test_terms_that_cancel_out_still_give_a_vector():
    place: dict[int, tuple[str, float]] = {}
    for word in (f"w{i}" for i in range(10_000)):
        vector = hashed_vector(word, [word])
        slot = max(range(DIMENSIONS), key=lambda i: abs(vector[i]))
        other = place.setdefault(slot, (word, vector[slot]))
        if other[1] == -vector[slot]:
            break
    assert any(hashed_vector("pair", [other[0], word]))


def test_shared_terms_increase_similarity():
    def cosine(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(hashed_vector(a, terms(a)), hashed_vector(b, terms(b)), strict=True))

    assert cosine("parking for visitors", "visitors may park") > cosine("parking for visitors", "coffee machine")
