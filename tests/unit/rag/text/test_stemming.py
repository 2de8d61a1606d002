"""Porter stems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.text.stemming import stem

WORDS = """caresses caress ponies poni cats cat feed feed agreed agre plastered plaster bled bled motoring motor sing
sing conflated conflat troubled troubl sized size hopping hop tanned tan falling fall hissing hiss fizzed fizz failing
fail filing file happy happi sky sky relational relat conditional condit rational ration digitizer digit operator oper
feudalism feudal decisiveness decis hopefulness hope callousness callous formality formal sensitivity sensit
triplicate triplic formative form formalize formal electrical electr hopeful hope goodness good revival reviv
allowance allow inference infer airliner airlin adjustable adjust defensible defens irritant irrit replacement replac
adjustment adjust dependent depend adoption adopt homologou homolog communism commun activate activ effective effect
bowdlerize bowdler probate probat rate rate cease ceas controll control roll roll"""
PAPER = WORDS.split()


@pytest.mark.parametrize(("word", "expected"), list(zip(PAPER[::2], PAPER[1::2], strict=True)))
def test_examples_of_porters_paper(word, expected):
    assert expected == stem(word)


@pytest.mark.parametrize("word", ["9", "30", "b2b", "日本", "été", "is", ""])
def test_other_scripts_numbers_and_short_words_are_unchanged(word):
    assert word == stem(word)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20))
def test_stem_is_not_empty_and_at_most_one_letter_longer_than_the_word(word):
    assert 0 < len(stem(word)) <= len(word) + 1
