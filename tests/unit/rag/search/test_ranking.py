"""BM25 scores and rank fusion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.search.ranking import bm25_term_score, fuse_rankings, inverse_document_frequency

orders = st.lists(st.lists(st.integers(0, 20), unique=True), max_size=3)


@given(st.integers(1, 10_000), st.data())
def test_rarer_term_weighs_more_and_no_weight_is_negative(passages, data):
    common = data.draw(st.integers(1, passages))
    rare = data.draw(st.integers(1, common))
    assert inverse_document_frequency(passages, rare) >= inverse_document_frequency(passages, common) > 0


@given(st.integers(1, 100), st.integers(1, 1000), st.floats(1, 1000), st.floats(0.01, 10))
def test_score_rises_with_frequency_falls_with_length_and_is_bounded(frequency, length, mean, rare):
    score = bm25_term_score(frequency, length, mean, rare)
    assert bm25_term_score(frequency + 1, length, mean, rare) > score
    assert bm25_term_score(frequency, length + 1, mean, rare) < score
    assert 0 < score < rare * 2.2


def test_score_of_a_known_example():
    # idf = ln(1 + 7.5 / 2.5); tf part = 2 * 2.2 / (2 + 1.2)
    assert pytest.approx(bm25_term_score(2, 100, 100, inverse_document_frequency(9, 2))) == 1.3862943611 * 1.375


@given(orders)
def test_fusion_returns_every_item_once_in_descending_score(rankings):
    result = fuse_rankings(rankings)
    assert {item for order in rankings for item in order} == {item for item, _ in result}
    assert len({item for item, _ in result}) == len(result)
    scores = [score for _, score in result]
    assert sorted(scores, reverse=True) == scores


@given(st.lists(st.integers(), unique=True))
def test_fusion_of_a_ranking_with_itself_or_nothing_keeps_its_order(order):
    assert order == [item for item, _ in fuse_rankings([order, order])]
    assert order == [item for item, _ in fuse_rankings([order, []])]


def test_item_of_both_rankings_beats_the_first_of_one():
    assert fuse_rankings([["a", "b"], ["c", "b"]])[0][0] == "b"
