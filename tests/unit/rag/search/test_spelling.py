"""Spelling corrections from a tenant's vocabulary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.rag.search.spelling import edit_distance, nearest

letters = st.text("abc", max_size=8)


def test_closest_terms_come_first_and_distant_ones_are_left_out():
    assert nearest("parkin", ["parking", "market", "par"]) == ["parking"]
    assert nearest("receptios", ["receptive", "deception", "reception", "exemption"]) == [
        "reception",
        "deception",
        "receptive",
    ]


def test_short_terms_and_numbers_are_not_corrected():
    assert nearest("pin", ["pie", "pit"]) == []
    assert nearest("1930", ["1931"]) == []


def test_swap_of_neighbours_is_one_edit():
    assert edit_distance("form", "from", 2) == 1


@given(letters, letters)
def test_edit_distance_is_symmetric_zero_for_equal_terms_and_capped(left, right):
    assert edit_distance(left, right, 3) == edit_distance(right, left, 3) <= 4
    assert (edit_distance(left, right, 3) == 0) == (left == right)
    assert min(abs(len(left) - len(right)), 4) <= edit_distance(left, right, 3)
