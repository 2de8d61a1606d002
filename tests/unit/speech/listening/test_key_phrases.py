"""Key terms as phrases of plain words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.speech.listening.key_phrases import key_phrases, number_words


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("What time does it start?", ("what time does it start",)),
        ("It opens at 9. It closes at 17.", ("it opens at nine", "it closes at seventeen")),
        ("Don’t panic", ("don't panic",)),
        ("It costs $3.50", ("it costs three point five zero",)),
        ("1,250 rooms", ("one thousand two hundred fifty rooms",)),
        ("***", ()),
        ("Café İstanbul, São Paulo", ("cafe istanbul sao paulo",)),
        ("9999999 times", ("nine nine nine nine nine nine nine times",)),
    ],
)
def test_a_term_becomes_plain_lower_case_phrases(term, found):
    assert found == key_phrases([term])


def test_duplicate_phrases_are_dropped():
    assert key_phrases(["Hello", "hello!"]) == ("hello",)


@given(st.text(max_size=100))
@example("İ")
@example("ſ ﬁ K ½ ٣")
def test_any_text_gives_only_letters_apostrophes_and_spaces(text):
    for sentence in key_phrases([text]):
        assert all(c.isascii() and (c.islower() or c in " '") for c in sentence)


@given(st.integers(0, 999_999))
def test_neighbouring_numbers_have_different_words(number):
    assert number_words(number) != number_words((number + 1) % 1_000_000)
