"""Which terms a misheard one may have been."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.rag.spelling import distance, nearest

letters = st.text("abc", max_size=8)


def test_the_closest_come_first_and_far_ones_not_at_all():
    assert nearest("parkin", ["parking", "market", "par"]) == ["parking"]
    assert nearest("receptios", ["receptive", "deception", "reception", "exemption"]) == [
        "reception",
        "deception",
        "receptive",
    ]


def test_short_terms_and_numbers_are_not_guessed():
    assert nearest("pin", ["pie", "pit"]) == []
    assert nearest("1930", ["1931"]) == []


def test_swapped_neighbours_are_one_letter():
    assert distance("form", "from", 2) == 1


@given(letters, letters)
def test_the_distance_is_symmetric_zero_for_equals_alone_and_capped(left, right):
    assert distance(left, right, 3) == distance(right, left, 3) <= 4
    assert (distance(left, right, 3) == 0) == (left == right)
    assert min(abs(len(left) - len(right)), 4) <= distance(left, right, 3)
