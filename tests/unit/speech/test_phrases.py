"""Key terms as sentences of plain words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.speech.phrases import sentences, spell


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
def test_a_term_becomes_lower_case_words(term, found):
    assert found == sentences([term])


def test_each_sentence_is_kept_once():
    assert sentences(["Hello", "hello!"]) == ("hello",)


@given(st.text(max_size=100))
@example("İ")
@example("ſ ﬁ K ½ ٣")
def test_any_text_gives_words_a_dictionary_could_hold(text):
    for sentence in sentences([text]):
        assert all(c.isascii() and (c.islower() or c in " '") for c in sentence)


@given(st.integers(0, 999_999))
def test_numbers_are_spelled_differently(number):
    assert spell(number) != spell((number + 1) % 1_000_000)
