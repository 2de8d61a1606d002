"""The order of passages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.ranking import fused, rarity, term_score

orders = st.lists(st.lists(st.integers(0, 20), unique=True), max_size=3)


@given(st.integers(1, 10_000), st.data())
def test_a_rarer_term_counts_more_and_none_counts_against(passages, data):
    common = data.draw(st.integers(1, passages))
    rare = data.draw(st.integers(1, common))
    assert rarity(passages, rare) >= rarity(passages, common) > 0


@given(st.integers(1, 100), st.integers(1, 1000), st.floats(1, 1000), st.floats(0.01, 10))
def test_more_often_is_better_longer_is_worse_and_the_gain_is_bounded(frequency, length, mean, rare):
    score = term_score(frequency, length, mean, rare)
    assert term_score(frequency + 1, length, mean, rare) > score
    assert term_score(frequency, length + 1, mean, rare) < score
    assert 0 < score < rare * 2.2


def test_a_known_value():
    # idf = ln(1 + 7.5 / 2.5); tf part = 2 * 2.2 / (2 + 1.2)
    assert pytest.approx(term_score(2, 100, 100, rarity(9, 2))) == 1.3862943611 * 1.375


@given(orders)
def test_fusion_keeps_everybody_once_with_falling_scores(rankings):
    result = fused(rankings)
    assert {item for order in rankings for item in order} == {item for item, _ in result}
    assert len({item for item, _ in result}) == len(result)
    scores = [score for _, score in result]
    assert sorted(scores, reverse=True) == scores


@given(st.lists(st.integers(), unique=True))
def test_one_order_fused_with_itself_or_with_nothing_stays(order):
    assert order == [item for item, _ in fused([order, order])] == [item for item, _ in fused([order, []])]


def test_what_both_orders_name_beats_the_first_of_one():
    assert fused([["a", "b"], ["c", "b"]])[0][0] == "b"
